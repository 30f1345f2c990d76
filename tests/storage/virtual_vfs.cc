#include "tests/storage/virtual_vfs.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/storage/virtual_files.h"

namespace tenure::sqlite {

// An open file. SQLite owns the memory.
struct Vfs::Handle : sqlite3_file {
  Vfs* vfs = nullptr;
  std::shared_ptr<VirtualFile> file;
  std::string name;         // empty: a temporary one
  bool syncs_name = false;  // its first sync makes its name durable, as SQLite does it on Unix
  int lock = SQLITE_LOCK_NONE;
  unsigned shared = 0;  // locks of the memory that connections share, a bit each
  unsigned exclusive = 0;
  bool maps = false;
};

struct Vfs::Calls {
  static Vfs& Of(sqlite3_vfs* vfs) { return *static_cast<Vfs*>(vfs->pAppData); }
  static Handle& Of(sqlite3_file* file) { return *static_cast<Handle*>(file); }
  static VirtualFiles& FilesOf(sqlite3_file* file) { return Of(file).vfs->files; }
  static Shared& SharedOf(sqlite3_file* file) { return Of(file).vfs->shared[Of(file).name]; }

  // ---- Names

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* opened, int flags,
                  int* out_flags) {
    VirtualFiles& files = Of(vfs).files;
    opened->pMethods = nullptr;
    std::shared_ptr<VirtualFile> file;
    if (name == nullptr) {
      file = std::make_shared<VirtualFile>();
    } else if (const auto it = files.names_.find(name); it != files.names_.end()) {
      file = it->second;
    } else if ((flags & SQLITE_OPEN_CREATE) == 0 || !files.Step()) {
      return SQLITE_CANTOPEN;
    } else {
      file = files.names_[name] = std::make_shared<VirtualFile>();
    }
    Handle* const handle = new (opened) Handle();
    handle->pMethods = Methods();
    handle->vfs = &Of(vfs);
    handle->file = std::move(file);
    handle->name = name == nullptr ? "" : name;
    constexpr int kJournals =
        SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    handle->syncs_name = (flags & SQLITE_OPEN_CREATE) != 0 && (flags & kJournals) != 0;
    if (name != nullptr) SharedOf(opened).handles.push_back(handle);
    if (out_flags != nullptr) *out_flags = flags;
    return SQLITE_OK;
  }
  static int Close(sqlite3_file* file) {
    ShmUnmap(file, 0);
    if (!Of(file).name.empty()) std::erase(SharedOf(file).handles, &Of(file));
    Of(file).~Handle();
    return SQLITE_OK;
  }
  static int Delete(sqlite3_vfs* vfs, const char* name, int sync) {
    VirtualFiles& files = Of(vfs).files;
    if (!files.Step()) return SQLITE_IOERR_DELETE;
    if (files.names_.erase(name) == 0) return SQLITE_IOERR_DELETE_NOENT;
    return sync != 0 ? files.SyncNames() : SQLITE_OK;
  }
  static int Access(sqlite3_vfs* vfs, const char* name, int flags, int* found) {
    const VirtualFile* const file = Of(vfs).files.Find(name);
    *found = file != nullptr && (flags != SQLITE_ACCESS_EXISTS || !file->bytes().empty());
    return SQLITE_OK;
  }
  static int FullPathname(sqlite3_vfs* /*vfs*/, const char* name, int size, char* full) {
    sqlite3_snprintf(size, full, "%s", name);
    return SQLITE_OK;
  }

  // ---- Bytes

  static int Read(sqlite3_file* file, void* to, int count, sqlite3_int64 at) {
    if (!FilesOf(file).running()) return FilesOf(file).Fail(SQLITE_IOERR_READ, "stopped");
    const std::string& bytes = Of(file).file->bytes();
    const std::size_t begin = std::min(static_cast<std::size_t>(at), bytes.size());
    const std::size_t got = std::min(static_cast<std::size_t>(count), bytes.size() - begin);
    std::memcpy(to, bytes.data() + begin, got);
    if (got == static_cast<std::size_t>(count)) return SQLITE_OK;
    std::memset(static_cast<char*>(to) + got, 0, static_cast<std::size_t>(count) - got);
    return SQLITE_IOERR_SHORT_READ;
  }
  static int Write(sqlite3_file* file, const void* from, int count, sqlite3_int64 at) {
    return FilesOf(file).Write(*Of(file).file, static_cast<std::uint64_t>(at),
                               {static_cast<const char*>(from), static_cast<std::size_t>(count)});
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    if (!FilesOf(file).Step()) return SQLITE_IOERR_TRUNCATE;
    Of(file).file->Truncate(static_cast<std::uint64_t>(size));
    return SQLITE_OK;
  }
  static int Sync(sqlite3_file* file, int /*flags*/) {
    Handle& handle = Of(file);
    const int code = FilesOf(file).Sync(*handle.file);
    if (code != SQLITE_OK || !handle.syncs_name) return code;
    handle.syncs_name = false;
    return FilesOf(file).SyncNames();
  }
  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(Of(file).file->bytes().size());
    return SQLITE_OK;
  }

  // ---- Locks

  // The strongest that another connection has.
  static int OthersLock(sqlite3_file* file) {
    int most = SQLITE_LOCK_NONE;
    for (const Handle* other : SharedOf(file).handles) {
      if (other != file) most = std::max(most, other->lock);
    }
    return most;
  }
  static int Lock(sqlite3_file* file, int level) {
    Handle& handle = Of(file);
    if (level <= handle.lock) return SQLITE_OK;
    const int others = OthersLock(file);
    const int bearable = level == SQLITE_LOCK_SHARED     ? SQLITE_LOCK_RESERVED
                         : level == SQLITE_LOCK_RESERVED ? SQLITE_LOCK_SHARED
                                                         : SQLITE_LOCK_NONE;
    if (others <= bearable) {
      handle.lock = level;
      return SQLITE_OK;
    }
    if (level == SQLITE_LOCK_EXCLUSIVE && others == SQLITE_LOCK_SHARED) {
      handle.lock = SQLITE_LOCK_PENDING;
    }
    return SQLITE_BUSY;
  }
  static int Unlock(sqlite3_file* file, int level) {
    Of(file).lock = std::min(Of(file).lock, level);
    return SQLITE_OK;
  }
  static int CheckReservedLock(sqlite3_file* file, int* reserved) {
    *reserved = std::max(OthersLock(file), Of(file).lock) >= SQLITE_LOCK_RESERVED;
    return SQLITE_OK;
  }

  // ---- The memory that connections share

  static int ShmMap(sqlite3_file* file, int region, int bytes, int extend, void volatile** mapped) {
    std::vector<std::unique_ptr<char[]>>& regions = SharedOf(file).regions;
    Of(file).maps = true;
    *mapped = nullptr;
    while (static_cast<std::size_t>(region) >= regions.size()) {
      if (extend == 0) return SQLITE_OK;
      regions.push_back(std::make_unique<char[]>(static_cast<std::size_t>(bytes)));
    }
    *mapped = regions[static_cast<std::size_t>(region)].get();
    return SQLITE_OK;
  }
  static int ShmLock(sqlite3_file* file, int offset, int count, int flags) {
    Handle& handle = Of(file);
    const unsigned mask = ((1u << count) - 1) << offset;
    if ((flags & SQLITE_SHM_UNLOCK) != 0) {
      handle.shared &= ~mask;
      handle.exclusive &= ~mask;
      return SQLITE_OK;
    }
    const bool alone = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (const Handle* other : SharedOf(file).handles) {
      if (other == file) continue;
      if (((other->exclusive | (alone ? other->shared : 0)) & mask) != 0) return SQLITE_BUSY;
    }
    (alone ? handle.exclusive : handle.shared) |= mask;
    return SQLITE_OK;
  }
  static void ShmBarrier(sqlite3_file* /*file*/) {}
  static int ShmUnmap(sqlite3_file* file, int /*remove*/) {
    Handle& handle = Of(file);
    if (!handle.maps) return SQLITE_OK;
    handle.maps = false;
    handle.shared = handle.exclusive = 0;
    Shared& shared = SharedOf(file);
    const auto maps = [](const Handle* other) { return other->maps; };
    if (std::none_of(shared.handles.begin(), shared.handles.end(), maps)) shared.regions.clear();
    return SQLITE_OK;
  }

  // ---- The rest

  static int FileControl(sqlite3_file* /*file*/, int /*what*/, void* /*value*/) {
    return SQLITE_NOTFOUND;
  }
  // As on Unix.
  static int SectorSize(sqlite3_file* /*file*/) { return 4096; }
  static int Characteristics(sqlite3_file* /*file*/) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }
  static int Randomness(sqlite3_vfs* /*vfs*/, int count, char* to) {
    std::memset(to, 'r', static_cast<std::size_t>(count));
    return count;
  }
  // Nobody who is waited for could run meanwhile.
  static int Sleep(sqlite3_vfs* /*vfs*/, int microseconds) { return microseconds; }
  static int CurrentTime(sqlite3_vfs* /*vfs*/, double* days) {
    *days = 2461000;
    return SQLITE_OK;
  }
  static int LastError(sqlite3_vfs* /*vfs*/, int /*size*/, char* /*said*/) { return 0; }

  static const sqlite3_io_methods* Methods() {
    static const sqlite3_io_methods methods = {2,
                                               Close,
                                               Read,
                                               Write,
                                               Truncate,
                                               Sync,
                                               FileSize,
                                               Lock,
                                               Unlock,
                                               CheckReservedLock,
                                               FileControl,
                                               SectorSize,
                                               Characteristics,
                                               ShmMap,
                                               ShmLock,
                                               ShmBarrier,
                                               ShmUnmap,
                                               nullptr,
                                               nullptr};
    return &methods;
  }
};

Vfs::Vfs(VirtualFiles& of)
    : files(of), name(absl::StrCat("virtual-", absl::Hex(reinterpret_cast<std::uintptr_t>(this)))) {
  registered.iVersion = 1;
  registered.szOsFile = sizeof(Handle);
  registered.mxPathname = 64;
  registered.zName = name.c_str();
  registered.pAppData = this;
  registered.xOpen = Calls::Open;
  registered.xDelete = Calls::Delete;
  registered.xAccess = Calls::Access;
  registered.xFullPathname = Calls::FullPathname;
  registered.xRandomness = Calls::Randomness;
  registered.xSleep = Calls::Sleep;
  registered.xCurrentTime = Calls::CurrentTime;
  registered.xGetLastError = Calls::LastError;
  sqlite3_vfs_register(&registered, /*makeDflt=*/0);
}

Vfs::~Vfs() { sqlite3_vfs_unregister(&registered); }

}  // namespace tenure::sqlite
