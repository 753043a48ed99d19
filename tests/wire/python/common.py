"""What the programs of this folder share; ottla_tests::foreign says what their commands are."""

import time

RECORDS = 300
PARTITIONS = 6
PATIENCE = 60


def held(what):
    print("held:", what, flush=True)


def same(expected, found):
    assert expected == found, f"expected {expected!r}, found {found!r}"


def value(n):
    return f"{n} {'the same words again and again ' * (n % 20)}".encode()


def until(what, is_so):
    """For threads that work by themselves."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, f"not in time: {what()}"
        time.sleep(0.005)


def shared(shares):
    """Whether members with these partitions have the same share each, and all of them together."""
    return all(len(share) == PARTITIONS // len(shares) for share in shares) and len(set().union(*shares)) == PARTITIONS
