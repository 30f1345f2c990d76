// What a program can do with tenure::sqlite: keep a member's state on disk, whatever its transport.
#include <cstdio>
#include <memory>

#include "tenure/sqlite/storage.h"

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  const std::unique_ptr<tenure::Storage> storage =
      tenure::sqlite::NewStorage({.directory = argv[1]});
  const auto held = storage->Open({"n1", 1});
  if (!held.ok()) std::fprintf(stderr, "%s\n", held.status().ToString().c_str());
  return held.ok() && held->cluster.empty() && storage->durable() ? 0 : 1;
}
