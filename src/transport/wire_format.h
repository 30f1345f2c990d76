// Protobuf's wire format, as little of it as the hot messages need. Written by hand where generated
// code would copy bytes once more than needed, or allocate by what a hostile sender claims.
#ifndef TENURE_TRANSPORT_WIRE_FORMAT_H_
#define TENURE_TRANSPORT_WIRE_FORMAT_H_

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tenure::wire {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

inline std::size_t VarintSize(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// ---- Writing. Like proto3, a field at its default is left out.
// -------------------------------------

inline void PutVarint(std::uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}
inline void PutTag(std::uint32_t field, WireType type, std::string* out) {
  PutVarint(field << 3 | static_cast<std::uint32_t>(type), out);
}
inline std::size_t TagSize(std::uint32_t field) { return VarintSize(field << 3); }

inline void PutUint(std::uint32_t field, std::uint64_t value, std::string* out) {
  if (value == 0) return;
  PutTag(field, WireType::kVarint, out);
  PutVarint(value, out);
}
inline std::size_t UintSize(std::uint32_t field, std::uint64_t value) {
  return value == 0 ? 0 : TagSize(field) + VarintSize(value);
}

inline void PutFixed64(std::uint32_t field, std::uint64_t value, std::string* out) {
  if (value == 0) return;
  PutTag(field, WireType::kFixed64, out);
  char bytes[8];
  for (char& byte : bytes) {
    byte = static_cast<char>(value);
    value >>= 8;
  }
  out->append(bytes, sizeof(bytes));
}
inline std::size_t Fixed64Size(std::uint32_t field, std::uint64_t value) {
  return value == 0 ? 0 : TagSize(field) + 8;
}

// The tag and the length of what follows.
inline void PutHead(std::uint32_t field, std::size_t size, std::string* out) {
  PutTag(field, WireType::kBytes, out);
  PutVarint(size, out);
}
inline std::size_t WithHeadSize(std::uint32_t field, std::size_t size) {
  return TagSize(field) + VarintSize(size) + size;
}

inline void PutBytes(std::uint32_t field, absl::string_view value, std::string* out) {
  if (value.empty()) return;
  PutHead(field, value.size(), out);
  out->append(value.data(), value.size());
}
inline std::size_t BytesSize(std::uint32_t field, absl::string_view value) {
  return value.empty() ? 0 : WithHeadSize(field, value.size());
}

// `message.ByteSizeLong()` was called and the message has not changed since.
inline void PutMessageOfCachedSize(std::uint32_t field,
                                   const google::protobuf::MessageLite& message, std::string* out) {
  const auto size = static_cast<std::size_t>(message.GetCachedSize());
  PutHead(field, size, out);
  const std::size_t before = out->size();
  out->resize(before + size);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out->data() + before));
}

// ---- Reading
// ---------------------------------------------------------------------------------------

// Goes through the fields of one message. A field of another type than expected counts as unknown.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : at_(bytes.data()), end_(at_ + bytes.size()) {}

  // Takes the next field. False at the end, and when the bytes are no message: then ok() is false.
  bool Next() {
    if (at_ == end_ || !ok_) return false;
    const std::uint64_t tag = Varint();
    field_ = static_cast<std::uint32_t>(tag >> 3);
    type_ = static_cast<WireType>(tag & 7);
    number_ = 0;
    bytes_ = absl::string_view();
    if (tag > 0xffffffff || field_ == 0) return Fail();
    switch (type_) {
      case WireType::kVarint:
        number_ = Varint();
        break;
      case WireType::kFixed64:
        number_ = Fixed(8);
        break;
      case WireType::kFixed32:
        number_ = Fixed(4);
        break;
      case WireType::kBytes:
        TakeBytes(Varint());
        break;
      default:
        return Fail();
    }
    return ok_;
  }
  bool ok() const { return ok_; }
  // For what the caller finds wrong.
  bool Fail() { return ok_ = false; }

  bool Is(std::uint32_t field, WireType type) const { return field_ == field && type_ == type; }
  std::uint32_t field() const { return field_; }
  WireType type() const { return type_; }
  std::uint64_t number() const { return number_; }
  absl::string_view bytes() const { return bytes_; }

 private:
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(*at_++);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }
  std::uint64_t Fixed(int size) {
    if (end_ - at_ < size) {
      Fail();
      return 0;
    }
    std::uint64_t value = 0;
    for (int i = size - 1; i >= 0; --i) value = value << 8 | static_cast<std::uint8_t>(at_[i]);
    at_ += size;
    return value;
  }
  void TakeBytes(std::uint64_t size) {
    if (size > static_cast<std::uint64_t>(end_ - at_)) {
      Fail();
      return;
    }
    bytes_ = absl::string_view(at_, size);
    at_ += size;
  }

  const char* at_;
  const char* const end_;
  bool ok_ = true;
  std::uint32_t field_ = 0;
  WireType type_ = WireType::kVarint;
  std::uint64_t number_ = 0;
  absl::string_view bytes_;
};

}  // namespace tenure::wire

#endif  // TENURE_TRANSPORT_WIRE_FORMAT_H_
