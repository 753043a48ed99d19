// What Kafka answers to broker settings, a line each, with `;` between two: as it starts, or as broker 1 at ADDRESS runs.
//   java -cp "$CLASSPATH" Ask.java [ADDRESS] < settings > answers
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import kafka.server.KafkaConfig;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.storage.internals.log.LogConfig;

public class Ask {
    interface Question {
        void ask(String[] settings) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 0) {
            answer(Ask::start);
            return;
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
            answer(settings -> alter(admin, settings));
        }
    }

    static void answer(Question question) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer = "ok";
            try {
                question.ask(line.split(";"));
            } catch (ExecutionException e) {
                answer = e.getCause().getMessage();
            } catch (Exception e) {
                answer = e.getMessage();
            }
            System.out.println(line + "\t" + answer);
        }
    }

    static void start(String[] settings) {
        Properties all = new Properties();
        all.put("process.roles", "broker,controller");
        all.put("node.id", "1");
        all.put("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093");
        all.put("controller.listener.names", "CONTROLLER");
        all.put("controller.quorum.voters", "1@127.0.0.1:9093");
        for (String setting : settings) {
            String[] pair = setting.split("=", 2);
            all.put(pair[0], pair[1]);
        }
        LogConfig.validateBrokerLogConfigValues(KafkaConfig.fromProps(all, false).extractLogConfigMap(), false);
    }

    static void alter(Admin admin, String[] settings) throws Exception {
        List<AlterConfigOp> operations = new ArrayList<>();
        for (String setting : settings) {
            String[] pair = setting.split("=", 2);
            operations.add(new AlterConfigOp(new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET));
        }
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        admin.incrementalAlterConfigs(Map.of(broker, operations), new AlterConfigsOptions().validateOnly(true)).all().get();
    }
}
