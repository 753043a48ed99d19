import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** Prints the whole tree, a line for each znode: path, version of its data, whether it is ephemeral, data. */
public final class Znodes {
    public static String dump(String address) throws Exception {
        ZooKeeper zookeeper = new ZooKeeper(address, 30_000, event -> { });
        StringBuilder into = new StringBuilder();
        walk(zookeeper, "/", into);
        zookeeper.close();
        return into.toString();
    }

    private static void walk(ZooKeeper zookeeper, String path, StringBuilder into) throws Exception {
        List<String> children;
        Stat stat = new Stat();
        try {
            byte[] data = zookeeper.getData(path, false, stat);
            String text = data == null ? "null" : data.length == 0 ? "empty" : new String(data, StandardCharsets.UTF_8);
            String kind = stat.getEphemeralOwner() == 0 ? "" : " ephemeral";
            into.append(path).append(" v").append(stat.getVersion()).append(kind).append(' ').append(text).append('\n');
            children = zookeeper.getChildren(path, false);
        } catch (KeeperException.NoNodeException gone) {
            return;
        }
        children.sort(null);
        for (String child : children) {
            walk(zookeeper, path.equals("/") ? "/" + child : path + "/" + child, into);
        }
    }
}
