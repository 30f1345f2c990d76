// How what a member keeps is written into the rows of its database, and how each row is told from a
// damaged one.
#ifndef TENURE_STORAGE_SQLITE_FORMAT_H_
#define TENURE_STORAGE_SQLITE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tenure/raft_types.h"
#include "tenure/storage.h"

namespace tenure::sqlite {

// PRAGMA application_id: "Tnur". PRAGMA user_version: rises when an older program could not read
// the file.
inline constexpr std::int64_t kApplicationId = 0x546e7572;
inline constexpr std::int64_t kFormatVersion = 1;

// The first half of a SHA-256: against rot and misdirected writes, not against forgers.
using Digest = std::array<char, 16>;
inline absl::string_view View(const Digest& digest) { return {digest.data(), digest.size()}; }

// Covers the entry's index and, through `before`, all entries before it: a row that is missing or
// that belongs elsewhere is noticed.
Digest EntryDigest(const Digest& before, Index index, absl::string_view content);
// Covers where the piece belongs. Numbers are never used twice, so an earlier snapshot's does not
// pass for it.
Digest PieceDigest(std::uint64_t number, std::uint64_t begin, absl::string_view content);

std::string EncodeEntry(const raft::Entry& entry);
// kDataLoss with what is wrong.
absl::StatusOr<raft::Entry> DecodeEntry(absl::string_view content);

// Drawn when a database is made, and known to nobody else: so no payload can look like a seal.
using Nonce = std::array<char, 16>;
absl::StatusOr<Nonce> DrawNonce();

// The one row that each transaction writes anew.
struct Head {
  Nonce nonce = {};
  // Rises by one with each transaction.
  std::uint64_t transaction = 0;
  Recovered held;  // but for the entries
  Index last_index = 0;
  Digest trimmed_digest = {};
  Digest last_digest = {};
  std::uint64_t first_piece = 0;
  std::uint64_t piece_count = 0;
  std::uint64_t next_piece = 0;
};

std::string EncodeHead(const Head& head);
absl::StatusOr<Head> DecodeHead(absl::string_view record);

// An encoded head begins with its seal: the nonce, the number of the transaction, a digest of both.
// Short enough for SQLite never to split it between two pages, so that it can be found in the bytes
// of a file which SQLite itself does not read any more.
inline constexpr std::size_t kSealBytes = 16 + 8 + 16;
// The number in this seal; 0 if it is none of this nonce's.
std::uint64_t ReadSeal(const Nonce& nonce, absl::string_view bytes);

}  // namespace tenure::sqlite

#endif  // TENURE_STORAGE_SQLITE_FORMAT_H_
