// Opening a database, and checking that it holds all that it ever acknowledged.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "storage/sqlite_database.h"

namespace tenure::sqlite {
namespace {

// As SQLite keeps their text, which is compared with these.
constexpr const char* kTables[] = {
    "CREATE TABLE head(id INTEGER PRIMARY KEY,record BLOB NOT NULL)",
    "CREATE TABLE log(number INTEGER PRIMARY KEY,digest BLOB NOT NULL,content BLOB NOT NULL)",
    "CREATE TABLE pieces(number INTEGER PRIMARY KEY,digest BLOB NOT NULL,content BLOB NOT NULL)"};

constexpr std::uint64_t kPageBytes = 4096;

}  // namespace

Head HeadOf(const LogImage& image) {
  Head head;
  head.held = image.Held();
  head.last_index = image.last_index();
  head.first_piece = image.first_piece();
  head.piece_count = image.piece_count();
  head.next_piece = image.next_piece();
  return head;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(std::unique_ptr<Directory> directory,
                                                         LogImage* image) {
  std::unique_ptr<Database> database(new Database(std::move(directory)));
  if (absl::Status loaded = database->Load(image); !loaded.ok()) return loaded;
  return database;
}

absl::Status Database::Load(LogImage* image) {
  const absl::StatusOr<std::uint64_t> bytes = directory_->FileBytes(directory_->database());
  if (!bytes.ok()) return bytes.status();
  const absl::StatusOr<std::uint64_t> log_bytes = directory_->FileBytes(directory_->log());
  if (!log_bytes.ok()) return log_bytes.status();
  // SQLite would delete the log.
  if (*bytes == 0 && *log_bytes != 0) return Damage("it is gone, and left its log behind");

  absl::StatusOr<Connection> opened =
      Connection::Open(directory_->database(), /*create=*/true, directory_->vfs());
  if (!opened.ok()) return opened.status();
  writer_ = *std::move(opened);
  const absl::StatusOr<bool> is_new = IsNew(*bytes);
  if (!is_new.ok()) return is_new.status();
  if (*is_new) {
    if (absl::Status created = Create(); !created.ok()) return created;
  }
  if (absl::Status whole = CheckWhole(); !whole.ok()) return whole;
  absl::StatusOr<Head> head = LoadHead();
  if (!head.ok()) return head.status();
  std::vector<std::uint64_t> begins;
  if (absl::Status loaded = LoadLog(*head, &head->held.entries); !loaded.ok()) return loaded;
  if (absl::Status loaded = LoadPieces(*head, &begins); !loaded.ok()) return loaded;
  *image = LogImage(std::move(head->held), head->first_piece, begins, head->next_piece);
  return absl::OkStatus();
}

// Whether nothing was ever kept in it. Its making is one transaction, and in the file itself before
// anything follows (Begin).
absl::StatusOr<bool> Database::IsNew(std::uint64_t bytes) {
  std::int64_t numbers[3] = {};
  const char* const questions[] = {"PRAGMA application_id", "PRAGMA user_version",
                                   "SELECT count(*) FROM sqlite_schema"};
  for (int i = 0; i < 3; ++i) {
    const absl::StatusOr<std::string> answer = writer_.Ask(questions[i]);
    if (!answer.ok()) return answer.status();
    if (!absl::SimpleAtoi(*answer, &numbers[i])) return Damage("its version cannot be read");
  }
  const auto [application, version, tables] = numbers;
  if (application == 0 && version == 0 && tables == 0 && bytes <= kPageBytes) return true;
  if (application != kApplicationId) return Damage("it is not a database of Tenure's");
  if (version > kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        directory_->database(), " was written by a newer version of Tenure, in format ", version,
        " (this one reads up to ", kFormatVersion, "): start the member with that version"));
  }
  if (version != kFormatVersion) return Damage("its version cannot be right");
  return false;
}

absl::Status Database::Create() {
  const absl::StatusOr<Nonce> nonce = directory_->NewNonce();
  if (!nonce.ok()) return nonce.status();
  nonce_ = *nonce;
  const std::string begin = absl::StrCat("PRAGMA page_size=", kPageBytes,
                                         ";PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
                                         "BEGIN IMMEDIATE;PRAGMA application_id=",
                                         kApplicationId, ";PRAGMA user_version=", kFormatVersion);
  absl::Status done = writer_.Run(begin.c_str());
  for (const char* const table : kTables) {
    if (done.ok()) done = writer_.Run(table);
  }
  if (done.ok()) done = writer_.Run("INSERT INTO head VALUES(1,x'')");
  if (done.ok()) done = PrepareHead();
  Head head;
  if (done.ok()) done = PutHead(&head);
  if (done.ok()) done = writer_.Run("COMMIT");
  return done.ok() ? directory_->Sync() : done;
}

// The structure, as far as SQLite can tell, and the tables.
absl::Status Database::CheckWhole() {
  const absl::StatusOr<std::string> check = writer_.Ask("PRAGMA quick_check(1)");
  if (!check.ok()) return check.status();
  if (*check != "ok") return Damage(*check);
  absl::StatusOr<Statement> schema = writer_.Prepare("SELECT sql FROM sqlite_schema ORDER BY name");
  if (!schema.ok()) return schema.status();
  for (const char* const table : kTables) {
    if (schema->Step() != SQLITE_ROW || schema->Bytes(0) != table) {
      return Damage("its tables are not those of a member");
    }
  }
  if (schema->Step() != SQLITE_DONE) return Damage("it has a table too many");
  return absl::OkStatus();
}

absl::StatusOr<Head> Database::LoadHead() {
  const absl::StatusOr<std::string> record = writer_.Ask("SELECT record FROM head WHERE id=1");
  if (!record.ok()) return record.status();
  absl::StatusOr<Head> head = DecodeHead(*record);
  if (!head.ok()) return Damage(head.status().message());
  nonce_ = head->nonce;
  transaction_ = head->transaction;

  // From the first frame of its log that is not intact on, SQLite drops all. One transaction there
  // is one that a crash cut short before it was acknowledged. But the next begins only once that
  // one was synced, so whatever is left of a second one shows that something acknowledged is lost.
  const absl::StatusOr<std::uint64_t> last = LastSealed(*directory_, nonce_);
  if (!last.ok()) return last.status();
  if (*last > transaction_ + 1) {
    return Damaged(directory_->log(),
                   absl::StrCat("of its transactions up to ", *last, " those after ", transaction_,
                                " cannot be read, some of which were acknowledged"));
  }
  return head;
}

absl::Status Database::LoadLog(const Head& head, std::vector<raft::Entry>* entries) {
  trimmed_through_ = head.held.trimmed_through;
  trimmed_digest_ = head.trimmed_digest;
  absl::StatusOr<Statement> rows =
      writer_.Prepare("SELECT number,digest,content FROM log ORDER BY number");
  if (!rows.ok()) return rows.status();
  stale_entry_ = trimmed_through_ + 1;
  Digest digest = trimmed_digest_;
  int code = rows->Step();
  for (; code == SQLITE_ROW; code = rows->Step()) {
    const Index index = rows->Number(0);
    if (index <= trimmed_through_) {  // not dropped yet
      stale_entry_ = std::min(stale_entry_, index);
      continue;
    }
    if (index != last_index() + 1) {
      return Damage(absl::StrCat("entry ", last_index() + 1, " of its log is missing"));
    }
    digest = EntryDigest(digest, index, rows->Bytes(2));
    if (View(digest) != rows->Bytes(1)) {
      return Damage(absl::StrCat("entry ", index, " of its log does not match its digest"));
    }
    absl::StatusOr<raft::Entry> entry = DecodeEntry(rows->Bytes(2));
    if (!entry.ok() || entry->index != index) {
      return Damage(absl::StrCat("entry ", index, " of its log: ",
                                 entry.ok() ? "it is another one" : entry.status().message()));
    }
    entries->push_back(*std::move(entry));
    digests_.push_back(digest);
  }
  if (code != SQLITE_DONE) return writer_.Error(code);
  if (last_index() != head.last_index || digest != head.last_digest) {
    return Damage(absl::StrCat("its log ends with entry ", last_index(), ", and should with ",
                               head.last_index));
  }
  return absl::OkStatus();
}

absl::Status Database::LoadPieces(const Head& head, std::vector<std::uint64_t>* begins) {
  first_piece_ = head.first_piece;
  making_piece_ = first_piece_ + head.piece_count;
  stale_piece_ = first_piece_;
  absl::StatusOr<Statement> rows =
      writer_.Prepare("SELECT number,digest,content FROM pieces ORDER BY number");
  if (!rows.ok()) return rows.status();
  std::uint64_t bytes = 0;
  int code = rows->Step();
  for (; code == SQLITE_ROW; code = rows->Step()) {
    const std::uint64_t number = rows->Number(0);
    if (number < first_piece_) stale_piece_ = std::min(stale_piece_, number);
    if (number < first_piece_ || number >= making_piece_) continue;  // of others
    if (number != first_piece_ + begins->size()) break;
    if (View(PieceDigest(number, bytes, rows->Bytes(2))) != rows->Bytes(1)) {
      return Damage(absl::StrCat("its snapshot ", head.held.snapshot.index,
                                 " does not match its digest at byte ", bytes));
    }
    begins->push_back(bytes);
    bytes += rows->Bytes(2).size();
  }
  if (code != SQLITE_DONE && code != SQLITE_ROW) return writer_.Error(code);
  if (begins->size() != head.piece_count || bytes != head.held.snapshot.bytes) {
    return Damage(absl::StrCat("its snapshot ", head.held.snapshot.index, " has ", bytes,
                               " bytes of ", head.held.snapshot.bytes));
  }
  return absl::OkStatus();
}

absl::Status Database::PrepareHead() {
  absl::StatusOr<Statement> prepared = writer_.Prepare("UPDATE head SET record=? WHERE id=1");
  if (!prepared.ok()) return prepared.status();
  statements_.put_head = *std::move(prepared);
  return absl::OkStatus();
}

absl::Status Database::Prepare() {
  if (absl::Status prepared = PrepareHead(); !prepared.ok()) return prepared;
  struct {
    Statement* statement;
    const char* sql;
  } const wanted[] = {
      {&statements_.begin, "BEGIN IMMEDIATE"},
      {&statements_.commit, "COMMIT"},
      {&statements_.put_entry, "INSERT INTO log VALUES(?,?,?)"},
      {&statements_.put_piece, "INSERT INTO pieces VALUES(?,?,?)"},
      {&statements_.drop_entries, "DELETE FROM log WHERE number>=? AND number<=?"},
      {&statements_.drop_pieces, "DELETE FROM pieces WHERE number>=? AND number<?"}};
  for (const auto& [statement, sql] : wanted) {
    absl::StatusOr<Statement> prepared = writer_.Prepare(sql);
    if (!prepared.ok()) return prepared.status();
    *statement = *std::move(prepared);
  }
  absl::StatusOr<Connection> reader =
      Connection::Open(directory_->database(), /*create=*/false, directory_->vfs());
  if (!reader.ok()) return reader.status();
  reader_ = *std::move(reader);
  absl::StatusOr<Statement> read =
      reader_.Prepare("SELECT digest,content FROM pieces WHERE number=?");
  if (!read.ok()) return read.status();
  read_piece_ = *std::move(read);
  return absl::OkStatus();
}

absl::Status Database::Begin(const LogImage& image) {
  // Synced with each transaction. Debian's SQLite would write zeros over all that is deleted.
  absl::Status done = writer_.Run(
      "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA secure_delete=OFF;"
      "PRAGMA journal_size_limit=67108864");
  for (const auto& [question, answer] :
       {std::pair("PRAGMA journal_mode", "wal"), std::pair("PRAGMA synchronous", "2")}) {
    const absl::StatusOr<std::string> is = writer_.Ask(question);
    if (done.ok() && !is.ok()) done = is.status();
    if (done.ok() && *is != answer) {
      done = absl::FailedPreconditionError(
          absl::StrCat(directory_->database(), ": ", question, " is ", *is, ", not ", answer));
    }
  }
  if (done.ok()) done = Prepare();
  // What an earlier process wrote and could not sync may be in the system's memory alone, and looks
  // well. All of it is written once more, and synced, before anything follows it.
  const auto sync = [this] {
    const absl::StatusOr<std::string> busy = writer_.Ask("PRAGMA wal_checkpoint(TRUNCATE)");
    if (!busy.ok()) return busy.status();
    return *busy == "0" ? absl::OkStatus() : writer_.Error(SQLITE_BUSY);
  };
  if (done.ok()) done = sync();
  if (done.ok()) done = writer_.Run("BEGIN IMMEDIATE");
  if (image.Held().cluster.empty()) {
    if (done.ok()) done = DropAll();
  } else if (done.ok()) {
    done = DropPieces(making_piece_, std::numeric_limits<std::int64_t>::max());
    making_piece_ = image.next_piece();
  }
  Head head = HeadOf(image);
  if (done.ok()) done = PutHead(&head);
  if (done.ok()) done = writer_.Run("COMMIT");
  return done.ok() ? sync() : done;
}

}  // namespace tenure::sqlite
