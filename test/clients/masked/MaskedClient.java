// Owns reading what a role sees masked with PostgreSQL's JDBC driver, in text and in binary: its own types.

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.regex.Pattern;

public class MaskedClient {
  static String rows(ResultSet set) throws SQLException {
    List<String> found = new ArrayList<>();
    int columns = set.getMetaData().getColumnCount();
    while (set.next()) {
      List<String> row = new ArrayList<>();
      for (int i = 1; i <= columns; i++) {
        Object value = set.getObject(i);
        if (value instanceof Array array) value = java.util.Arrays.toString((Object[]) array.getArray());
        if (value instanceof byte[] bytes) value = java.util.Arrays.toString(bytes);
        row.add(value == null ? "null" : value.getClass().getSimpleName() + " " + value);
      }
      found.add(row.toString());
    }
    return found.toString();
  }

  public static void main(String[] args) throws Exception {
    String source = Files.readString(Path.of(args[0]));
    List<String> queries = new ArrayList<>();
    var each = Pattern.compile("^  (?:'(.*)'|\"(.*)\"),$", Pattern.MULTILINE).matcher(source);
    while (each.find()) queries.add(each.group(1) == null ? each.group(2) : each.group(1));
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");
    for (String threshold : List.of("0", "-1")) {
      Properties settings = new Properties();
      settings.setProperty("user", System.getenv("PGUSER"));
      settings.setProperty("password", System.getenv("PGPASSWORD"));
      settings.setProperty("sslmode", "disable");
      // -1: prepared, and in binary, from the first run on.
      settings.setProperty("prepareThreshold", threshold);
      try (Connection conn = DriverManager.getConnection(url, settings)) {
        for (String text : queries) {
          try (PreparedStatement statement = conn.prepareStatement(text)) {
            System.out.println(threshold + " " + text + ": " + rows(statement.executeQuery()));
            System.out.println("again: " + rows(statement.executeQuery()));
          }
        }
        conn.setAutoCommit(false);
        try (PreparedStatement statement = conn.prepareStatement(queries.get(0))) {
          statement.setFetchSize(2);
          System.out.println("in parts: " + rows(statement.executeQuery()));
        }
      }
    }
  }
}
