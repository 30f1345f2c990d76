// The recipes of docs/fencing.md, as they stand there, against a database.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tenure/local.h"
#include "tenure/mutex.h"

namespace tenure {
namespace {

std::vector<std::string> Recipes() {
  std::ifstream file(TENURE_SOURCE_DIR "/docs/fencing.md");
  std::ostringstream text;
  text << file.rdbuf();
  std::vector<std::string> recipes;
  const std::string page = text.str();
  for (std::size_t at = page.find("```sql\n"); at != std::string::npos;
       at = page.find("```sql\n", at)) {
    at += 7;
    recipes.push_back(page.substr(at, page.find("```", at) - at));
  }
  return recipes;
}

class SqlFenceTest : public ::testing::Test {
 protected:
  SqlFenceTest() {
    sqlite3* database = nullptr;
    EXPECT_EQ(sqlite3_open(":memory:", &database), SQLITE_OK);
    database_.reset(database);
    Execute("CREATE TABLE invoices (id TEXT PRIMARY KEY, body TEXT, fence INTEGER NOT NULL)");
  }

  void Execute(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database_.get());
  }
  // True if a row was written.
  bool Write(const std::string& recipe, const std::string& body, Revision token) {
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(database_.get(), recipe.c_str(), -1, &statement, nullptr),
              SQLITE_OK)
        << sqlite3_errmsg(database_.get());
    const auto at = [&](const char* name) { return sqlite3_bind_parameter_index(statement, name); };
    sqlite3_bind_text(statement, at(":id"), "42", -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, at(":body"), body.c_str(), -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, at(":token"), static_cast<std::int64_t>(token));
    EXPECT_EQ(sqlite3_step(statement), SQLITE_DONE) << sqlite3_errmsg(database_.get());
    sqlite3_finalize(statement);
    return sqlite3_changes(database_.get()) == 1;
  }
  std::string Body() {
    std::string body;
    sqlite3_exec(
        database_.get(), "SELECT body FROM invoices WHERE id = '42'",
        [](void* out, int, char** values, char**) {
          *static_cast<std::string*>(out) = values[0];
          return 0;
        },
        &body, nullptr);
    return body;
  }

  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

TEST_F(SqlFenceTest, L9EachRecipeRefusesAHolderThatIsLate) {
  const std::vector<std::string> recipes = Recipes();
  ASSERT_EQ(recipes.size(), 2u) << "the page has lost a recipe";
  const Coordinator coordinator = *OpenLocal();
  for (const std::string& recipe : recipes) {
    Execute("DELETE FROM invoices");
    Execute("INSERT INTO invoices (id, body, fence) VALUES ('42', 'new', 0)");
    const Revision late = coordinator.mutex("invoices/42").Lock()->token();  // and lost at once
    const Revision next = coordinator.mutex("invoices/42").Lock()->token();
    EXPECT_TRUE(Write(recipe, "late, in time", late)) << recipe;
    EXPECT_TRUE(Write(recipe, "next", next)) << recipe;
    EXPECT_TRUE(Write(recipe, "next again", next)) << "as often as it likes";
    EXPECT_FALSE(Write(recipe, "late", late)) << recipe;
    EXPECT_EQ(Body(), "next again");
  }
}

// The second also makes the row.
TEST_F(SqlFenceTest, TheSecondRecipeBeginsARow) {
  const std::vector<std::string> recipes = Recipes();
  ASSERT_EQ(recipes.size(), 2u);
  EXPECT_FALSE(Write(recipes[0], "none", 7)) << "there is no row";
  EXPECT_TRUE(Write(recipes[1], "first", 7));
  EXPECT_FALSE(Write(recipes[1], "late", 6));
  EXPECT_EQ(Body(), "first");
}

}  // namespace
}  // namespace tenure
