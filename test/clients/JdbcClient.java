// Owns what applications do through PostgreSQL's JDBC driver: statements prepared by the server from the fifth run on,
// batches, rows in parts, generated keys, metadata, COPY, savepoints. One line for each thing seen.

import java.io.StringReader;
import java.io.StringWriter;
import java.math.BigDecimal;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.PGConnection;

public class JdbcClient {
  interface Step { Object run() throws Exception; }

  static void tell(String what, Object value) { System.out.println(what + ": " + value); }

  static void attempt(String what, Step step) throws Exception {
    try {
      tell(what, step.run());
    } catch (SQLException error) {
      tell(what, "error " + error.getSQLState() + " " + error.getMessage().replace("\n", " | "));
    }
  }

  static String rows(ResultSet set) throws SQLException {
    List<String> found = new ArrayList<>();
    int columns = set.getMetaData().getColumnCount();
    while (set.next()) {
      List<String> row = new ArrayList<>();
      for (int i = 1; i <= columns; i++) row.add(set.getString(i));
      found.add(row.toString());
    }
    return found.toString();
  }

  static String named(ResultSet set, String... columns) throws SQLException {
    List<String> found = new ArrayList<>();
    while (set.next()) {
      List<String> row = new ArrayList<>();
      for (String column : columns) row.add(set.getString(column));
      found.add(row.toString());
    }
    return found.toString();
  }

  public static void main(String[] args) throws Exception {
    String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
        + System.getenv("PGDATABASE") + "?sslmode=disable&ApplicationName=jdbc";
    try (Connection conn = DriverManager.getConnection(url, System.getenv("PGUSER"), System.getenv("PGPASSWORD"))) {
      DatabaseMetaData meta = conn.getMetaData();
      tell("product", meta.getDatabaseProductName() + " " + meta.getDatabaseMajorVersion());
      tell("tables", named(meta.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME", "TABLE_TYPE"));
      tell("columns", named(meta.getColumns(null, "public", "docs", "%"), "COLUMN_NAME", "TYPE_NAME", "NULLABLE", "COLUMN_DEF"));
      tell("primary", named(meta.getPrimaryKeys(null, "public", "docs"), "COLUMN_NAME", "PK_NAME"));
      tell("indexes", named(meta.getIndexInfo(null, "public", "docs", false, true), "INDEX_NAME", "COLUMN_NAME"));
      tell("schemas", named(meta.getSchemas(), "TABLE_SCHEM"));
      tell("types", named(meta.getTypeInfo(), "TYPE_NAME").contains("vector"));
      tell("functions", named(meta.getFunctions(null, "public", "cosine_distance"), "FUNCTION_NAME"));

      try (PreparedStatement one = conn.prepareStatement("SELECT id, title, embedding::text FROM docs WHERE id = ?")) {
        for (int n = 1; n < 12; n++) {
          one.setInt(1, n);
          tell("prepared", rows(one.executeQuery()));
        }
        tell("described", one.getMetaData().getColumnName(2) + " " + one.getParameterMetaData().getParameterTypeName(1));
      }
      try (PreparedStatement values = conn.prepareStatement("SELECT ?::int8, ?::numeric, ?::text, ?::bool, ?::timestamptz, ?::int[]")) {
        values.setLong(1, 1L << 40);
        values.setBigDecimal(2, new BigDecimal("12345.678"));
        values.setString(3, "O'Reilly \\ \u00fc");
        values.setBoolean(4, true);
        values.setTimestamp(5, new Timestamp(1_772_366_400_000L));
        values.setArray(6, conn.createArrayOf("int4", new Integer[] {1, null, 3}));
        for (int n = 0; n < 7; n++) tell("values", rows(values.executeQuery()));
      }
      try (PreparedStatement batch = conn.prepareStatement("INSERT INTO notes(id, body) VALUES (?, ?)")) {
        for (int n = 1000; n < 1100; n++) {
          batch.setInt(1, n);
          batch.setString(2, "j" + n);
          batch.addBatch();
        }
        tell("batch", batch.executeBatch().length);
      }
      try (Statement several = conn.createStatement()) {
        several.addBatch("UPDATE notes SET body = 'b1' WHERE id = 1000");
        several.addBatch("INSERT INTO notes(id, body) VALUES (1000, 'twice')");
        several.addBatch("UPDATE notes SET body = 'b3' WHERE id = 1002");
        attempt("broken batch", () -> several.executeBatch().length);
      }
      tell("after", rows(conn.createStatement().executeQuery("SELECT id, body FROM notes WHERE id BETWEEN 1000 AND 1002 ORDER BY id")));
      try (PreparedStatement made = conn.prepareStatement("INSERT INTO counted(body) VALUES ('x'), ('y')", Statement.RETURN_GENERATED_KEYS)) {
        made.executeUpdate();
        tell("keys", named(made.getGeneratedKeys(), "id"));
      }

      conn.setAutoCommit(false);
      try (PreparedStatement parts = conn.prepareStatement("SELECT id, body FROM notes WHERE id >= ? ORDER BY id")) {
        parts.setFetchSize(9);
        parts.setInt(1, 1000);
        int count = 0;
        try (ResultSet set = parts.executeQuery()) { while (set.next()) count++; }
        tell("parts", count);
      }
      Savepoint point = conn.setSavepoint("here");
      conn.createStatement().executeUpdate("DELETE FROM notes WHERE id = 1001");
      conn.rollback(point);
      attempt("missing", () -> conn.createStatement().executeQuery("SELECT * FROM nowhere"));
      attempt("aborted", () -> conn.createStatement().executeQuery("SELECT 1"));
      conn.rollback();
      conn.setReadOnly(true);
      attempt("read only", () -> conn.createStatement().executeUpdate("DELETE FROM notes"));
      conn.rollback();
      conn.setReadOnly(false);
      conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      tell("isolation", rows(conn.createStatement().executeQuery("SHOW transaction_isolation")));
      conn.commit();
      conn.setAutoCommit(true);

      var copy = conn.unwrap(PGConnection.class).getCopyAPI();
      tell("copied", copy.copyIn("COPY notes (id, body) FROM STDIN (FORMAT csv)", new StringReader("2000,\"a,b\"\n2001,c\n")));
      StringWriter out = new StringWriter();
      copy.copyOut("COPY (SELECT id, body FROM notes WHERE id >= 2000 ORDER BY id) TO STDOUT", out);
      tell("out", out.toString().replace("\n", " | "));
      try (Statement scrolled = conn.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE)) {
        ResultSet set = scrolled.executeQuery("SELECT id, body FROM notes WHERE id >= 2000 ORDER BY id");
        set.last();
        set.updateString("body", "changed");
        set.updateRow();
        tell("updated", rows(conn.createStatement().executeQuery("SELECT body FROM notes WHERE id = 2001")));
      }
      try (Statement warned = conn.createStatement()) {
        warned.execute("DROP TABLE IF EXISTS nothing_here");
        tell("warning", warned.getWarnings().getMessage());
      }
      try (Statement script = conn.createStatement()) {
        boolean result = script.execute("UPDATE notes SET body = 's' WHERE id = 2000; SELECT 7; SELECT 8");
        tell("script", result + " " + script.getUpdateCount() + " " + script.getMoreResults() + " " + rows(script.getResultSet()));
      }
      tell("valid", conn.isValid(5));
    }
  }
}
