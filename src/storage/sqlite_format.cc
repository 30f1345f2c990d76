#include "storage/sqlite_format.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proto/consensus.h"
#include "tenure/v1/log.pb.h"
#include "tenure/v1/storage.pb.h"

namespace tenure::sqlite {
namespace {

// ---- Digests

// Eight bytes, the lowest first, whatever the machine.
std::string Fixed64(std::uint64_t number) {
  std::string bytes(8, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(number & 0xff);
    number >>= 8;
  }
  return bytes;
}

std::uint64_t FromFixed64(absl::string_view bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 8; i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

// What is digested: no two kinds are ever alike.
enum class What : char { kEntry = 'e', kPiece = 'p', kSeal = 's', kHead = 'h' };

// All parts but the last have a length that `what` fixes.
Digest DigestOf(What what, std::initializer_list<absl::string_view> parts) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(),
                                                                   EVP_MD_CTX_free);
  std::array<unsigned char, EVP_MAX_MD_SIZE> whole;
  const char tag = static_cast<char>(what);
  bool done = context != nullptr && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1 &&
              EVP_DigestUpdate(context.get(), &tag, 1) == 1;
  for (const absl::string_view part : parts) {
    done = done && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  // Fails only without memory. Rows without a digest would all be taken.
  if (!done || EVP_DigestFinal_ex(context.get(), whole.data(), nullptr) != 1) std::abort();
  Digest digest;
  std::copy_n(whole.begin(), digest.size(), digest.begin());
  return digest;
}

bool ToDigest(absl::string_view bytes, Digest* digest) {
  if (bytes.size() != digest->size()) return false;
  std::copy(bytes.begin(), bytes.end(), digest->begin());
  return true;
}

// ---- The schema

void HeadToSchema(const Head& head, v1::StoredHead* to) {
  const Recovered& held = head.held;
  to->set_cluster_high(held.cluster.high);
  to->set_cluster_low(held.cluster.low);
  to->set_name(held.self.name);
  to->set_incarnation(held.self.incarnation);
  to->set_term(held.hard_state.term);
  to->set_vote_name(held.hard_state.vote.name);
  to->set_vote_incarnation(held.hard_state.vote.incarnation);
  to->set_trimmed_through(held.trimmed_through);
  to->set_trimmed_term(held.trimmed_term);
  to->set_trimmed_stamp_ns(held.trimmed_stamp_ns);
  if (held.trimmed_configuration != nullptr) {
    ToSchema(*held.trimmed_configuration, to->mutable_trimmed_configuration());
  }
  to->set_trimmed_digest(head.trimmed_digest.data(), head.trimmed_digest.size());
  to->set_last_index(head.last_index);
  to->set_last_digest(head.last_digest.data(), head.last_digest.size());
  if (!held.snapshot.empty()) ToSchema(held.snapshot, to->mutable_snapshot());
  for (const raft::Attested& each : held.attested) ToSchema(each, to->add_attested());
  to->set_first_piece(head.first_piece);
  to->set_piece_count(head.piece_count);
  to->set_next_piece(head.next_piece);
}

bool HeadFromSchema(const v1::StoredHead& from, Head* head) {
  Recovered& held = head->held;
  held.cluster = {from.cluster_high(), from.cluster_low()};
  held.self = {from.name(), from.incarnation()};
  held.hard_state = {from.term(), {from.vote_name(), from.vote_incarnation()}};
  held.trimmed_through = from.trimmed_through();
  held.trimmed_term = from.trimmed_term();
  held.trimmed_stamp_ns = from.trimmed_stamp_ns();
  if (from.has_trimmed_configuration()) {
    held.trimmed_configuration = FromSchema(from.trimmed_configuration());
  }
  if (from.has_snapshot()) held.snapshot = FromSchema(from.snapshot());
  for (const v1::Attested& each : from.attested()) held.attested.push_back(FromSchema(each));
  head->last_index = from.last_index();
  head->first_piece = from.first_piece();
  head->piece_count = from.piece_count();
  head->next_piece = from.next_piece();
  return ToDigest(from.trimmed_digest(), &head->trimmed_digest) &&
         ToDigest(from.last_digest(), &head->last_digest);
}

constexpr std::size_t kNonceBytes = sizeof(Nonce);
constexpr std::size_t kDigestBytes = sizeof(Digest);

std::string Seal(const Nonce& nonce, std::uint64_t transaction) {
  std::string seal =
      absl::StrCat(absl::string_view(nonce.data(), nonce.size()), Fixed64(transaction));
  absl::StrAppend(&seal, View(DigestOf(What::kSeal, {seal})));
  return seal;
}

}  // namespace

// ---- Entries and pieces

Digest EntryDigest(const Digest& before, Index index, absl::string_view content) {
  return DigestOf(What::kEntry, {View(before), Fixed64(index), content});
}

Digest PieceDigest(std::uint64_t number, std::uint64_t begin, absl::string_view content) {
  return DigestOf(What::kPiece, {Fixed64(number), Fixed64(begin), content});
}

std::string EncodeEntry(const raft::Entry& entry) {
  v1::Entry to;
  to.set_index(entry.index);
  to.set_term(entry.term);
  to.set_kind(static_cast<std::uint32_t>(entry.kind));
  to.set_stamp_ns(entry.stamp_ns);
  if (entry.payload != nullptr) to.set_payload(*entry.payload);
  if (entry.configuration != nullptr) ToSchema(*entry.configuration, to.mutable_configuration());
  return to.SerializeAsString();
}

absl::StatusOr<raft::Entry> DecodeEntry(absl::string_view content) {
  v1::Entry from;
  if (!from.ParseFromArray(content.data(), static_cast<int>(content.size()))) {
    return absl::DataLossError("it cannot be parsed");
  }
  if (from.kind() > static_cast<std::uint32_t>(raft::kLastEntryKind)) {
    return absl::DataLossError("it is of a kind that this version does not know");
  }
  raft::Entry entry;
  entry.index = from.index();
  entry.term = from.term();
  entry.kind = static_cast<raft::EntryKind>(from.kind());
  entry.stamp_ns = from.stamp_ns();
  if (!from.payload().empty()) {
    entry.payload = std::make_shared<const std::string>(std::move(*from.mutable_payload()));
  }
  if (from.has_configuration()) entry.configuration = FromSchema(from.configuration());
  return entry;
}

// ---- The head

absl::StatusOr<Nonce> DrawNonce() {
  Nonce nonce;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()), nonce.size()) != 1) {
    return absl::UnavailableError("no random number can be had");
  }
  return nonce;
}

std::string EncodeHead(const Head& head) {
  v1::StoredHead content;
  HeadToSchema(head, &content);
  const std::string seal = Seal(head.nonce, head.transaction);
  const std::string bytes = content.SerializeAsString();
  return absl::StrCat(seal, View(DigestOf(What::kHead, {seal, bytes})), bytes);
}

absl::StatusOr<Head> DecodeHead(absl::string_view record) {
  if (record.size() < kSealBytes + kDigestBytes) return absl::DataLossError("its head is cut off");
  const absl::string_view seal = record.substr(0, kSealBytes);
  const absl::string_view digest = record.substr(kSealBytes, kDigestBytes);
  const absl::string_view bytes = record.substr(kSealBytes + kDigestBytes);
  if (View(DigestOf(What::kHead, {seal, bytes})) != digest) {
    return absl::DataLossError("its head does not match its digest");
  }
  Head head;
  std::copy_n(seal.begin(), kNonceBytes, head.nonce.begin());
  head.transaction = ReadSeal(head.nonce, seal);
  v1::StoredHead content;
  if (head.transaction == 0 ||
      !content.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !HeadFromSchema(content, &head)) {
    return absl::DataLossError("its head cannot be parsed");
  }
  return head;
}

std::uint64_t ReadSeal(const Nonce& nonce, absl::string_view bytes) {
  if (bytes.size() < kSealBytes) return 0;
  const std::uint64_t transaction = FromFixed64(bytes.substr(kNonceBytes, 8));
  return bytes.substr(0, kSealBytes) == Seal(nonce, transaction) ? transaction : 0;
}

}  // namespace tenure::sqlite
