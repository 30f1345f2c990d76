// Every file in tests/raft/scenarios is a test of its name: its commands must say again what it
// says. With TENURE_REWRITE_SCENARIOS=1 in the environment, the files are rewritten instead: read
// the diff.
#include "tests/raft/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tenure::raft {
namespace {

std::vector<std::string> ScenarioNames() {
  std::vector<std::string> names;
  const std::filesystem::path dir = TENURE_SOURCE_DIR "/tests/raft/scenarios";
  for (const auto& file : std::filesystem::directory_iterator(dir)) {
    if (file.path().extension() == ".txt") names.push_back(file.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ScenarioFile : public testing::TestWithParam<std::string> {};

TEST_P(ScenarioFile, SaysWhatItSaid) {
  const std::string path = TENURE_SOURCE_DIR "/tests/raft/scenarios/" + GetParam() + ".txt";
  std::ostringstream expected;
  expected << std::ifstream(path).rdbuf();
  const std::string actual = Scenario().Run(expected.str());
  if (std::getenv("TENURE_REWRITE_SCENARIOS") != nullptr) {
    std::ofstream(path) << actual;
    return;
  }
  EXPECT_EQ(actual, expected.str());
}

// "c1_old_term_is_not_counted" becomes "C1_old_term_is_not_counted": the line of PITFALLS.md.
std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  name[0] = static_cast<char>(std::toupper(name[0]));
  return name;
}

INSTANTIATE_TEST_SUITE_P(Raft, ScenarioFile, testing::ValuesIn(ScenarioNames()), TestName);

TEST(ScenarioFiles, AreThere) { EXPECT_GE(ScenarioNames().size(), 20u); }

}  // namespace
}  // namespace tenure::raft
