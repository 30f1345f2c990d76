#include "cli/table.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"

namespace tenure::cli {

namespace {

void AppendCode(unsigned char byte, std::string& plain) {
  absl::StrAppend(&plain, "\\x", absl::Hex(byte, absl::kZeroPad2));
}

// ASCII's control characters by their codes, and those that UTF-8 writes as C2 80 to C2 9F.
std::string Plain(const std::string& cell) {
  std::string plain;
  for (std::size_t i = 0; i < cell.size(); ++i) {
    const auto byte = static_cast<unsigned char>(cell[i]);
    const auto next = static_cast<unsigned char>(i + 1 < cell.size() ? cell[i + 1] : 0);
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {
      AppendCode(byte, plain);
      AppendCode(next, plain);
      ++i;
    } else if (byte < 0x20 || byte == 0x7f) {
      AppendCode(byte, plain);
    } else {
      plain += cell[i];
    }
  }
  return plain;
}

}  // namespace

std::string Table(const std::vector<std::vector<std::string>>& cells) {
  std::vector<std::vector<std::string>> rows = cells;
  for (std::vector<std::string>& row : rows) {
    for (std::string& cell : row) cell = Plain(cell);
  }
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace tenure::cli
