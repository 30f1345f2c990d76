// Columns for people.
#ifndef CLI_TABLE_H_
#define CLI_TABLE_H_

#include <string>
#include <vector>

namespace tenure::cli {

// Rows of cells as lines of aligned columns; the first row is the heading. Names and values are
// anybody's: what would move a terminal's cursor is shown as \xHH.
std::string Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace tenure::cli

#endif  // CLI_TABLE_H_
