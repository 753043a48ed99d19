import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Permission;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.utils.Exit;

/**
 * Plays a script of invocations of Kafka's command-line tools and prints what each of them printed, with everything masked
 * that differs from one run to the next. All run in this one JVM, so that a hundred of them take seconds.
 *
 * <p>Tools SCRIPT BOOTSTRAP DIRECTORY HOOK: HOOK is a command that is called as `HOOK stop 3` and `HOOK start 3`.
 *
 * <p>A line is `tool ARGUMENT… [<<< STDIN]`, `--bootstrap-server` added unless it names $B itself; `3.9: …` or `4.3: …` for tools
 * of that version alone; `file NAME TEXT`; `sleep MS`; `until REGEX tool …`, which tries again until that was printed;
 * `&NAME tool …` in the background until `end NAME`; `stop ID`, `start ID`; `znodes`. After `~ ` numbers are masked, too.
 */
@SuppressWarnings("removal")
public final class Tools {
    static final String[] PACKAGES = {
        "org.apache.kafka.tools.", "org.apache.kafka.tools.consumer.", "org.apache.kafka.tools.consumer.group.",
        "org.apache.kafka.tools.reassign.", "org.apache.kafka.tools.streams.", "kafka.admin.", "kafka.tools.",
    };
    static final Map<String, String> CLASSES = new TreeMap<>();

    static {
        String[] names = {
            "kafka-topics TopicCommand", "kafka-configs ConfigCommand", "kafka-leader-election LeaderElectionCommand",
            "kafka-reassign-partitions ReassignPartitionsCommand", "kafka-log-dirs LogDirsCommand",
            "kafka-get-offsets GetOffsetShell", "kafka-delete-records DeleteRecordsCommand",
            "kafka-console-producer ConsoleProducer", "kafka-console-consumer ConsoleConsumer",
            "kafka-consumer-groups ConsumerGroupCommand", "kafka-transactions TransactionsCommand",
            "kafka-producer-perf-test ProducerPerformance", "kafka-consumer-perf-test ConsumerPerformance",
            "kafka-verifiable-producer VerifiableProducer", "kafka-verifiable-consumer VerifiableConsumer",
            "kafka-broker-api-versions BrokerApiVersionsCommand", "kafka-cluster ClusterTool",
            "kafka-replica-verification ReplicaVerificationTool", "kafka-metadata-quorum MetadataQuorumCommand",
            "kafka-features FeatureCommand", "kafka-streams-application-reset StreamsResetter", "kafka-groups GroupsCommand",
            "kafka-share-groups ShareGroupCommand", "kafka-streams-groups StreamsGroupCommand",
            "kafka-client-metrics ClientMetricsCommand", "kafka-acls AclCommand",
            "kafka-delegation-tokens DelegationTokenCommand", "kafka-e2e-latency EndToEndLatency",
        };
        for (String name : names) {
            CLASSES.put(name.split(" ")[0], name.split(" ")[1]);
        }
    }

    static final long PATIENCE_S = 90;
    static final PrintStream OUT = System.out;
    /** Where the tool prints whose thread this is, and its exit code. */
    static final InheritableThreadLocal<Run> CURRENT = new InheritableThreadLocal<>();

    final String bootstrap;
    final Path directory;
    final String hook;
    final Map<String, Run> background = new TreeMap<>();

    static final class Run {
        final ByteArrayOutputStream printed = new ByteArrayOutputStream();
        final CompletableFuture<Integer> exit = new CompletableFuture<>();
        Thread thread;
    }

    Tools(String bootstrap, Path directory, String hook) {
        this.bootstrap = bootstrap;
        this.directory = directory;
        this.hook = hook;
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream routed = new PrintStream(new OutputStream() {
            @Override
            public void write(int octet) {
                Run run = CURRENT.get();
                if (run != null) {
                    run.printed.write(octet);
                }
            }
        }, true);
        System.setOut(routed);
        System.setErr(routed);
        // A tool that exits says nothing more: its thread stays where it is.
        Exit.Procedure exit = (code, message) -> {
            if (message != null) {
                System.err.println(message);
            }
            rest(code);
        };
        Exit.setExitProcedure(exit);
        Exit.setHaltProcedure(exit);
        Exit.setShutdownHookAdder((name, hook) -> { });
        System.setSecurityManager(new SecurityManager() {
            @Override
            public void checkExit(int code) {
                if (CURRENT.get() != null) {
                    rest(code);
                }
            }

            @Override
            public void checkPermission(Permission permission) {
                // All but the end of the JVM is permitted.
            }

            @Override
            public void checkPermission(Permission permission, Object context) {
                // The same.
            }
        });
        Tools tools = new Tools(arguments[1], Path.of(arguments[2]), arguments[3]);
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            line = line.trim();
            if (line.isEmpty() || line.startsWith("# ")) {
                continue;
            }
            try {
                tools.play(line);
            } catch (Exception failed) {
                failed.printStackTrace(OUT);
            }
            OUT.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private static void rest(int code) {
        CURRENT.get().exit.complete(code);
        while (true) {
            try {
                Thread.sleep(Long.MAX_VALUE);
            } catch (InterruptedException ignored) {
                // It goes on sleeping.
            }
        }
    }

    void play(String line) throws Exception {
        Matcher only = Pattern.compile("(\\d\\.\\d): (.*)").matcher(line);
        if (only.matches()) {
            if (!org.apache.kafka.common.utils.AppInfoParser.getVersion().startsWith(only.group(1))) {
                return;
            }
            line = only.group(2);
        }
        if (line.startsWith("##")) {
            OUT.println("\n" + line);
            return;
        }
        if (line.startsWith("~ ")) {
            line = line.substring(2);
            tell(line, finish(begin(line)).replaceAll("\\d+([.,:-]\\d+)*", "N").replaceAll("(?m)^(N records sent.*\n)+", "N records sent\n"));
            return;
        }
        String[] words = line.split(" ", 3);
        switch (words[0]) {
            case "file" -> Files.writeString(directory.resolve(words[1]), words[2].replace("\\n", "\n"));
            case "sleep" -> Thread.sleep(Long.parseLong(words[1]));
            case "stop", "start" -> {
                OUT.println("$ " + line);
                new ProcessBuilder(List.of((hook + " " + line).split(" "))).redirectErrorStream(true)
                        .redirectOutput(directory.resolve("hook.out").toFile()).start().waitFor();
            }
            case "until" -> {
                Pattern wanted = Pattern.compile(words[1].replace("~", " "));
                long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
                String printed;
                do {
                    Thread.sleep(300);
                    printed = finish(begin(words[2]));
                } while (!wanted.matcher(printed).find() && System.nanoTime() < end);
                tell(words[2], printed);
            }
            case "znodes" -> {
                OUT.println("$ " + line);
                Object said = Class.forName("Znodes").getMethod("dump", String.class).invoke(null, System.getenv("ZOOKEEPER"));
                OUT.print(mask((String) said));
            }
            case "end" -> {
                Run run = background.remove(words[1]);
                run.thread.interrupt();
                tell(line, finish(run));
            }
            default -> {
                if (line.startsWith("&")) {
                    OUT.println("$ " + line);
                    background.put(words[0].substring(1), begin(line.substring(words[0].length() + 1)));
                } else {
                    tell(line, finish(begin(line)));
                }
            }
        }
    }

    void tell(String line, String printed) {
        OUT.println("$ " + line);
        printed = mask(printed);
        if (line.startsWith("kafka-broker-api-versions")) {
            // Brokers come in any order.
            printed = printed.replaceAll("(?s).*(HOST:1.*?\n\\)\n).*", "$1");
        }
        OUT.print(printed);
    }

    Run begin(String line) throws Exception {
        int at = line.indexOf(" <<< ");
        byte[] stdin = at < 0 ? new byte[0]
                : line.substring(at + 5).replace("\\n", "\n").replace("\\t", "\t").getBytes(StandardCharsets.UTF_8);
        List<String> words = split(at < 0 ? line : line.substring(0, at));
        String tool = words.remove(0);
        if (!line.contains("$B")) {
            // Those with subcommands take it before them, but for one.
            boolean first = !words.isEmpty() && !words.get(0).startsWith("-") && !tool.equals("kafka-cluster");
            words.addAll(first ? 0 : words.size(), List.of("--bootstrap-server", bootstrap));
        }
        Class<?> main = find(tool);
        Run run = new Run();
        run.thread = new Thread(() -> {
            CURRENT.set(run);
            int code = 0;
            try {
                main.getMethod("main", String[].class).invoke(null, (Object) words.toArray(new String[0]));
            } catch (Throwable thrown) {
                code = 1;
                Throwable cause = thrown.getCause() == null ? thrown : thrown.getCause();
                System.err.println("Exception in thread \"main\" " + cause);
            }
            run.exit.complete(code);
        });
        run.thread.setDaemon(true);
        System.setIn(new ByteArrayInputStream(stdin));
        run.thread.start();
        return run;
    }

    String finish(Run run) throws Exception {
        String end;
        try {
            int code = run.exit.get(PATIENCE_S, TimeUnit.SECONDS);
            end = code == 0 ? "" : "exit " + code + "\n";
        } catch (TimeoutException late) {
            end = "did not end\n";
            run.thread.interrupt();
        }
        String printed = run.printed.toString(StandardCharsets.UTF_8);
        return printed.isEmpty() || printed.endsWith("\n") ? printed + end : printed + "\n" + end;
    }

    static Class<?> find(String tool) throws ClassNotFoundException {
        for (String home : PACKAGES) {
            try {
                return Class.forName(home + CLASSES.get(tool));
            } catch (ClassNotFoundException elsewhere) {
                // The next.
            }
        }
        throw new ClassNotFoundException(tool);
    }

    /** Words as a shell splits them, with $B and $D replaced. */
    List<String> split(String line) {
        List<String> words = new ArrayList<>();
        Matcher word = Pattern.compile("(?:'[^']*'|\"[^\"]*\"|[^\\s'\"])+").matcher(line);
        while (word.find()) {
            String text = word.group().replaceAll("'([^']*)'|\"([^\"]*)\"", "$1$2");
            words.add(text.replace("$B", bootstrap).replace("$D", directory.toString()));
        }
        return words;
    }

    String mask(String text) {
        String[] brokers = bootstrap.split(",");
        for (int index = 0; index < brokers.length; index++) {
            String port = brokers[index].split(":")[1];
            text = text.replaceAll("127\\.0\\.0\\.1:" + port, "HOST:" + (index + 1));
            text = text.replaceAll("\\b" + port + "\\b", "PORT" + (index + 1));
        }
        text = text.replace(directory.toString(), "DIR");
        text = text.replaceAll("/[^\\s\",:\\]\\[=]*/(broker-|data-?|b)(\\d)(/data)?", "LOGDIR$2");
        text = text.replaceAll("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "MEMBER");
        text = text.replaceAll("(?<![\\w-])(?=[\\w-]*[A-Z])(?=[\\w-]*[a-z])[\\w-]{22}(?![\\w-])", "UUID");
        text = text.replaceAll("\\b1[78]\\d{11}\\b", "TIME");
        text = text.replaceAll("\\b20\\d\\d-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d([.,:]\\d+)?Z?", "DATE");
        text = text.replaceAll("[ \\t]*\\n", "\n").replaceAll("[ \\t]+", " ");
        text = text.replaceAll("console-consumer-\\d+", "console-consumer-N");
        text = text.replaceAll("(tries=|after |correlation id |due to node )\\d+", "$1N");
        // Eligible leaders, which only KRaft has.
        text = text.replaceAll(" Elr:( N/A)? LastKnownElr:( N/A)?", "");
        // Of a stack what it was about; of a tool's usage nothing.
        text = text.replaceAll("( at \\S+\\(.*\\)\n)+", "").replaceAll("(?s)Option Description\n.*?Display Kafka version\\.\n", "");
        return text;
    }
}
