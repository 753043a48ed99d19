#!/usr/bin/env python3
"""Where what Ottla made of the script is what no Kafka made of it:  differ.py OTTLA KAFKA...

Each is what `compare` printed. Of each invocation that differs from every Kafka's, the lines in which it does; exit status 1
where there is one."""

import difflib
import sys


def blocks(path):
    """The invocations with what each printed, numbered where one is made twice."""
    found, seen, title = {}, {}, None
    for line in open(path, encoding="utf-8").read().splitlines():
        if line.startswith("$ ") or line.startswith("##"):
            seen[line] = seen.get(line, 0) + 1
            title = (line, seen[line])
            found[title] = []
        elif title:
            found[title].append(line)
    return found


ours, *theirs = map(blocks, sys.argv[1:])
differ = 0
for title, said in ours.items():
    others = [other[title] for other in theirs if title in other]
    # Tools print what they keep in hash maps in any order.
    if any(sorted(said) == sorted(other) for other in others):
        continue
    differ += 1
    print(title[0] if title[1] == 1 else f"{title[0]}  ({title[1]})")
    for number, other in enumerate(others):
        if other not in others[:number]:
            for line in difflib.unified_diff(sorted(other), sorted(said), f"kafka {number}", "ottla", n=0, lineterm=""):
                if not line.startswith("@@"):
                    print("   ", line)
print(f"{differ} of {len(ours)} differ")
sys.exit(differ > 0)
