// As much of SQLite as the storage needs: connections and statements that end with their scope, and
// errors as statuses.
#ifndef TENURE_STORAGE_SQLITE_CONNECTION_H_
#define TENURE_STORAGE_SQLITE_CONNECTION_H_

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tenure::sqlite {

// What to do about `file`, which is damaged as `why` says: kDataLoss.
absl::Status Damaged(absl::string_view file, absl::string_view why);

// A prepared statement. Not beyond its connection.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement, sqlite3_finalize) {}

  // The first parameter is 1. Bytes must live until Reset.
  Statement& Bind(int at, std::uint64_t number);
  Statement& Bind(int at, absl::string_view bytes);
  // SQLite's code: SQLITE_ROW, SQLITE_DONE or an error.
  int Step() { return sqlite3_step(statement_.get()); }
  void Reset();
  // Of the row that Step came to; the first column is 0. Bytes live until the next Step or Reset.
  std::uint64_t Number(int column) const;
  absl::string_view Bytes(int column) const;

 private:
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_{nullptr, sqlite3_finalize};
};

// One thread at a time.
class Connection {
 public:
  Connection() = default;  // none
  // Opens the file, and makes it if `create`, in the VFS of that name; null: the system's. Nothing
  // is written to it before somebody asks for that, nor when the connection ends: what stands in
  // the log beside it stays there.
  static absl::StatusOr<Connection> Open(const std::string& file, bool create,
                                         const char* vfs = nullptr);

  bool open() const { return connection_ != nullptr; }
  // Statements without parameters; what they return is dropped.
  absl::Status Run(const char* sql);
  absl::StatusOr<Statement> Prepare(const char* sql);
  // The first column of the first row, as text.
  absl::StatusOr<std::string> Ask(const char* sql);
  // A step that gives no row.
  absl::Status Finish(Statement& statement);
  // What the last call's error means. `code` is what it returned.
  absl::Status Error(int code) const;
  // Pages in the log beside the file, as of this connection's last transaction.
  int log_pages() const { return *log_pages_; }
  // Rows that the last statement changed.
  std::int64_t changes() const { return sqlite3_changes64(connection_.get()); }

 private:
  std::string file_;
  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);  // SQLite knows where it is
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> connection_{nullptr, sqlite3_close};
};

}  // namespace tenure::sqlite

#endif  // TENURE_STORAGE_SQLITE_CONNECTION_H_
