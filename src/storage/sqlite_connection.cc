#include "storage/sqlite_connection.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::sqlite {
namespace {

// Nobody else has the file open, but for an administrator's look at it.
constexpr int kBusyTimeoutMs = 10000;

int NotePages(void* noted, sqlite3* /*connection*/, const char* /*database*/, int pages) {
  *static_cast<int*>(noted) = pages;
  return SQLITE_OK;
}

}  // namespace

absl::Status Damaged(absl::string_view file, absl::string_view why) {
  return absl::DataLossError(absl::StrCat(
      file, " is damaged: ", why,
      "; nothing in it was changed. Move its directory away and start with an empty one: the "
      "member "
      "comes back as a new incarnation, and the others replace the one that was lost"));
}

// ---- Statement

Statement& Statement::Bind(int at, std::uint64_t number) {
  // SQLite's integers are signed; what is bound here never comes near 2^63.
  sqlite3_bind_int64(statement_.get(), at, static_cast<sqlite3_int64>(number));
  return *this;
}

Statement& Statement::Bind(int at, absl::string_view bytes) {
  sqlite3_bind_blob64(statement_.get(), at, bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::uint64_t Statement::Number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

absl::string_view Statement::Bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr
             ? absl::string_view()
             : absl::string_view(static_cast<const char*>(data), static_cast<std::size_t>(size));
}

// ---- Connection

absl::StatusOr<Connection> Connection::Open(const std::string& file, bool create, const char* vfs) {
  Connection connection;
  connection.file_ = file;
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &opened,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                       SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0),
                                   vfs);
  connection.connection_.reset(opened);
  if (code != SQLITE_OK) return connection.Error(code);
  sqlite3_busy_timeout(opened, kBusyTimeoutMs);
  // Closing would otherwise copy the log into the database and delete it, also when the log is
  // damaged and is all that tells what was lost.
  sqlite3_db_config(opened, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // In place of SQLite's own, which copies the log into the database at times and tells nobody if a
  // sync fails meanwhile.
  sqlite3_wal_hook(opened, NotePages, connection.log_pages_.get());
  return connection;
}

absl::Status Connection::Run(const char* sql) {
  const int code = sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code);
}

absl::StatusOr<Statement> Connection::Prepare(const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  const int code =
      sqlite3_prepare_v3(connection_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  Statement statement(prepared);
  if (code != SQLITE_OK) return Error(code);
  return statement;
}

absl::StatusOr<std::string> Connection::Ask(const char* sql) {
  absl::StatusOr<Statement> statement = Prepare(sql);
  if (!statement.ok()) return statement.status();
  const int code = statement->Step();
  if (code == SQLITE_ROW) return std::string(statement->Bytes(0));
  if (code == SQLITE_DONE) return std::string();
  return Error(code);
}

absl::Status Connection::Finish(Statement& statement) {
  const int code = statement.Step();
  absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : Error(code);
  statement.Reset();
  return status;
}

absl::Status Connection::Error(int code) const {
  const char* const said =
      connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_.get());
  std::string what = absl::StrCat(file_, ": ", said);
  if (connection_ != nullptr) {
    const int error = sqlite3_system_errno(connection_.get());
    if (error != 0) absl::StrAppend(&what, " (", std::strerror(error), ")");
  }
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // a table that is not as it was made
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
      return Damaged(file_, said);
    case SQLITE_FULL:
      return absl::UnavailableError(absl::StrCat(what, "; make room, and start the member again"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::FailedPreconditionError(
          absl::StrCat(what, "; end the process that has it open, and start the member again"));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::FailedPreconditionError(
          absl::StrCat(what, "; let this user read and write the directory and its files"));
    default:
      return absl::UnavailableError(what);
  }
}

}  // namespace tenure::sqlite
