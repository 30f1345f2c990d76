#include "cli/kept_output.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace tenure::cli {
namespace {

TEST(KeptOutputTest, AnOutcomeComesBackAsItWas) {
  for (const std::string& output : {std::string(), std::string("one\ntwo\n"),
                                    std::string("\0bytes\xff", 7), std::string(60'000, 'x')}) {
    for (const int status : {0, 1, 255}) {
      const CommandOutcome outcome{status, output.size(), output};
      const auto back = DecodeOutcome(EncodeOutcome(outcome));
      ASSERT_TRUE(back.ok()) << back.status();
      EXPECT_EQ(*back, outcome);
    }
  }
  const CommandOutcome cut{7, 1'000'000, std::string(kKeptOutputMax, 'x')};
  EXPECT_LE(EncodeOutcome(cut).size(), std::size_t{64 << 10}) << "what a record holds";
  EXPECT_EQ(*DecodeOutcome(EncodeOutcome(cut)), cut);
}

TEST(KeptOutputTest, WhatOthersHaveStoredIsNoOutcome) {
  const std::string good = EncodeOutcome({3, 4, "four"});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeOutcome(good.substr(0, size)).ok()) << good.substr(0, size);
  }
  for (const char* bad :
       {"receipt 4711", "tenure once 2 status=3 bytes=4\nfour",
        "tenure once 1 status=x bytes=4\nfour", "tenure once 1 status=256 bytes=4\nfour",
        "tenure once 1 status=-1 bytes=4\nfour", "tenure once 1 status=3 bytes=4 more=1\nfour",
        "tenure once 1 status=3 bytes=5\nfour", "tenure once 1 bytes=4 status=3\nfour"}) {
    EXPECT_EQ(DecodeOutcome(bad).status().code(), absl::StatusCode::kDataLoss) << bad;
  }
}

// What was forked while it stood there writes into it, from one end, whoever writes.
TEST(KeptOutputTest, KeepsWhatChildrenWrite) {
  auto kept = KeptOutput::Redirect();
  ASSERT_TRUE(kept.ok()) << kept.status();
  const pid_t child = fork();
  if (child == 0) {
    const bool wrote = write(STDOUT_FILENO, "one ", 4) == 4;
    const pid_t grandchild = fork();
    if (grandchild == 0) _exit(write(STDOUT_FILENO, "two ", 4) == 4 ? 0 : 1);
    int status = 1;
    waitpid(grandchild, &status, 0);
    _exit(wrote && status == 0 && write(STDOUT_FILENO, "three", 5) == 5 ? 0 : 1);
  }
  ASSERT_TRUE(kept->Restore().ok());
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const auto outcome = kept->Read(5);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, (CommandOutcome{5, 13, "one two three"}));
}

// Whatever COMMAND writes, what is not stored takes no memory.
TEST(KeptOutputTest, WhatIsNotKeptIsFreed) {
  auto kept = KeptOutput::Redirect();
  ASSERT_TRUE(kept.ok()) << kept.status();
  const std::string first(kKeptOutputMax, 'a');
  const std::string megabyte(1 << 20, 'x');
  std::uint64_t written = 0;
  const auto put = [&written](const std::string& text) {
    written += static_cast<std::uint64_t>(write(STDOUT_FILENO, text.data(), text.size()));
  };
  put(first);
  std::int64_t blocks_max = 0;
  struct stat about = {};
  for (int i = 0; i < 200; ++i) {
    put(megabyte);
    kept->Trim();
    fstat(STDOUT_FILENO, &about);
    blocks_max = std::max<std::int64_t>(blocks_max, about.st_blocks);
  }
  ASSERT_TRUE(kept->Restore().ok());
  EXPECT_LE(blocks_max * 512, 128 << 10);
  const auto outcome = kept->Read(0);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->written, written);
  EXPECT_EQ(written, kKeptOutputMax + 200 * megabyte.size());
  EXPECT_EQ(outcome->output, first);
}

}  // namespace
}  // namespace tenure::cli
