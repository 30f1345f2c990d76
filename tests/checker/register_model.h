// A register: the simplest object, to test the checker with.
#ifndef TENURE_TESTS_CHECKER_REGISTER_MODEL_H_
#define TENURE_TESTS_CHECKER_REGISTER_MODEL_H_

#include <cstdint>

namespace tenure::checker {

struct RegisterOperation {
  enum class Kind : std::uint8_t { kWrite, kRead, kSwapped, kNotSwapped };
  Kind kind = Kind::kRead;
  std::int64_t value = 0;     // written, or read
  std::int64_t expected = 0;  // of a compare-and-swap
};

struct RegisterModel {
  using Operation = RegisterOperation;

  bool Step(const Operation& operation) {
    switch (operation.kind) {
      case Operation::Kind::kWrite:
        value = operation.value;
        return true;
      case Operation::Kind::kRead:
        return value == operation.value;
      case Operation::Kind::kSwapped:
        if (value != operation.expected) return false;
        value = operation.value;
        return true;
      case Operation::Kind::kNotSwapped:
        return value != operation.expected;
    }
    return false;
  }
  std::uint64_t Hash() const { return static_cast<std::uint64_t>(value) * 0x9e3779b97f4a7c15u; }
  friend bool operator==(const RegisterModel&, const RegisterModel&) = default;

  std::int64_t value = 0;
};

}  // namespace tenure::checker

#endif  // TENURE_TESTS_CHECKER_REGISTER_MODEL_H_
