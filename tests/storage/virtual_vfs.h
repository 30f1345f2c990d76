// The simulated disk as SQLite sees it.
#ifndef TENURE_TESTS_STORAGE_VIRTUAL_VFS_H_
#define TENURE_TESTS_STORAGE_VIRTUAL_VFS_H_

#include <sqlite3.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/storage/virtual_files.h"

namespace tenure::sqlite {

// Registered with SQLite, under a name of its own, for as long as it lives.
struct Vfs {
  explicit Vfs(VirtualFiles& of);
  Vfs(const Vfs&) = delete;
  Vfs& operator=(const Vfs&) = delete;
  ~Vfs();

  struct Handle;
  struct Calls;
  // What connections to one file share.
  struct Shared {
    std::vector<Handle*> handles;
    std::vector<std::unique_ptr<char[]>> regions;
  };

  VirtualFiles& files;
  const std::string name;
  sqlite3_vfs registered = {};
  std::map<std::string, Shared> shared;  // by the file's name
};

}  // namespace tenure::sqlite

#endif  // TENURE_TESTS_STORAGE_VIRTUAL_VFS_H_
