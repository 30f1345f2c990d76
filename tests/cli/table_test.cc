// What tables show of names and values that anybody may choose.
#include "cli/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tenure::cli {
namespace {

TEST(TableTest, AlignsItsColumns) {
  EXPECT_EQ(Table({{"LOCK", "HOLDER"}, {"printer/3", "a"}}),
            "LOCK       HOLDER\n"
            "printer/3  a\n");
}

TEST(TableTest, ShowsControlCharactersByTheirCodes) {
  const std::string table = Table({{"VALUE"}, {std::string("\x1b[2J\ntwo\tthree\x7f\0", 16)}});
  EXPECT_EQ(table, "VALUE\n\\x1b[2J\\x0atwo\\x09three\\x7f\\x00\n");
}

// U+009B, which begins a terminal's commands as ESC [ does.
TEST(TableTest, ShowsLongControlCharactersToo) {
  EXPECT_EQ(Table({{"VALUE"},
                   {"a\xc2\x9b"
                    "2J\xc2\xa0z"}}),
            "VALUE\na\\xc2\\x9b2J\xc2\xa0z\n");
}

TEST(TableTest, LeavesOtherAlphabetsAlone) {
  EXPECT_EQ(Table({{"NAME"}, {"прин́тер"}}), "NAME\nприн́тер\n");
}

}  // namespace
}  // namespace tenure::cli
