import java.util.*;

/** Apache Kafka's Java client against a server; ottla_tests::foreign says what the commands are. */
public class Wire {
    public static void main(String[] words) throws Exception {
        String bootstrap = words[1];
        switch (words[0]) {
            case "session" -> {
                Session.run(bootstrap);
                Groups.run(bootstrap);
                Shares.run(bootstrap);
            }
            case "fill" -> Chain.fill(bootstrap, words[2], words[3], Integer.parseInt(words[4]), Integer.parseInt(words[5]));
            case "transform" -> Chain.transform(bootstrap, words[2], words[3], words[4]);
            case "read" -> Chain.read(bootstrap, words[2]);
            case "committed" -> Chain.committed(bootstrap, words[2], words[3]);
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    static Properties config(String bootstrap, String... settings) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        config.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        config.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        config.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        for (int i = 0; i < settings.length; i += 2) {
            config.put(settings[i], settings[i + 1]);
        }
        return config;
    }

    static void held(String what) {
        System.out.println("held: " + what);
    }

    static void same(Object expected, Object found) {
        if (!Objects.equals(expected, found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    interface Action {
        void run() throws Exception;
    }

    /** It must fail with that exception, be it the cause of another. */
    static void refused(Class<? extends Throwable> why, Action action) throws Exception {
        try {
            action.run();
        } catch (Exception e) {
            Throwable cause = e instanceof java.util.concurrent.ExecutionException ? e.getCause() : e;
            if (!why.isInstance(cause)) {
                throw e;
            }
            return;
        }
        throw new AssertionError("not refused with " + why.getSimpleName());
    }
}
