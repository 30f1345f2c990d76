// Whether a sanitizer is in this build: its shadow counts as memory, and its heap is its own.
#ifndef TENURE_TESTS_TESTING_SANITIZED_H_
#define TENURE_TESTS_TESTING_SANITIZED_H_

// GCC says it by a macro of its own, Clang 14 by a question.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE_TEST_THREAD_SANITIZED 1
#endif
#if __has_feature(address_sanitizer)
#define TENURE_TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TENURE_TEST_THREAD_SANITIZED 1
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(TENURE_TEST_THREAD_SANITIZED)
#define TENURE_TEST_SANITIZED 1
#endif

namespace tenure::testing {

#ifdef TENURE_TEST_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace tenure::testing

#endif  // TENURE_TESTS_TESTING_SANITIZED_H_
