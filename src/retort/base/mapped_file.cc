#include "retort/base/mapped_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <mutex>

#include "retort/base/error.h"
#include "retort/base/file.h"

namespace retort {
namespace {

[[noreturn]] void ThrowSystem(const std::filesystem::path& path, std::string_view doing) {
  const int reason = errno;
  Throw(reason == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{} '{}': {}", doing,
        path.string(), std::strerror(reason));
}

bool IsBefore(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}
bool IsEqual(const timespec& a, const timespec& b) { return !IsBefore(a, b) && !IsBefore(b, a); }

// Linux stamps files with a clock that advances once a tick, 10 ms at most. Two writes within one
// tick leave the same time, so a file that was written in the running tick is looked at again when
// that tick is over: whatever comes later leaves a later time. Twice the tick at most, since a
// file may carry a time in the future.
constexpr int kTickWaitsMax = 20;
constexpr timespec kTickWait = {0, 1'000'000};

struct stat StampOf(int descriptor, const std::filesystem::path& path) {
  for (int wait = 0;; ++wait) {
    struct stat info = {};
    if (::fstat(descriptor, &info) != 0) ThrowSystem(path, "cannot stat");
    timespec now = {};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (IsBefore(info.st_ctim, now) || wait == kTickWaitsMax) return info;
    ::nanosleep(&kTickWait, nullptr);
  }
}

}  // namespace

// A mapping as the handler of SIGBUS sees it. A handler may run at any time and may take no lock,
// so regions are only ever added to the list; later mappings use free ones again.
struct MappedRegion {
  std::atomic<uintptr_t> begin = 0;
  std::atomic<uintptr_t> end = 0;  // 0: free
  std::atomic<bool> damaged = false;
  MappedRegion* next = nullptr;  // constant once the region is in the list
};

namespace {

std::atomic<MappedRegion*> regions = nullptr;
std::mutex regions_mutex;  // of those who take and give back, not of the handler
struct sigaction former_handler = {};
uintptr_t page_bytes = 0;

// The page that could not be read and all behind it become zeros: of a file that was cut, those
// are gone too. Only what may be called from a handler: atomics and the system call itself.
bool MapZeros(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (MappedRegion* region = regions.load(std::memory_order_acquire); region != nullptr;
       region = region->next) {
    const uintptr_t end = region->end.load(std::memory_order_acquire);
    if (at < region->begin.load(std::memory_order_relaxed) || at >= end) continue;
    region->damaged.store(true, std::memory_order_release);  // before anyone can read a zero
    const uintptr_t page = at - at % page_bytes;
    return ::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool was_a_read = info->si_code > 0;  // else somebody sent the signal
  if (was_a_read && MapZeros(info->si_addr)) {
    errno = saved_errno;
    return;  // to the instruction that failed, which now finds a page
  }
  if ((former_handler.sa_flags & SA_SIGINFO) != 0) {
    former_handler.sa_sigaction(signal, info, context);
  } else if (former_handler.sa_handler != SIG_DFL && former_handler.sa_handler != SIG_IGN) {
    former_handler.sa_handler(signal);
  } else if (was_a_read || former_handler.sa_handler == SIG_DFL) {
    // A bad read cannot be ignored: it would be tried again for ever.
    ::signal(signal, SIG_DFL);
    ::raise(signal);  // ends the process when this handler returns
  }
  errno = saved_errno;
}

void InstallBusHandler() {
  page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &former_handler);
}

MappedRegion* TakeRegion(std::span<const std::byte> bytes) {
  static std::once_flag installed;
  std::call_once(installed, InstallBusHandler);
  const std::lock_guard lock(regions_mutex);
  MappedRegion* region = regions.load();
  while (region != nullptr && region->end.load() != 0) region = region->next;
  const bool is_new = region == nullptr;
  if (is_new) region = new MappedRegion;  // never deleted: the handler may be looking at it
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  region->damaged = false;
  region->begin = begin;
  region->end = begin + bytes.size();
  if (is_new) {
    region->next = regions.load();
    regions.store(region, std::memory_order_release);
  }
  return region;
}

void GiveBackRegion(MappedRegion* region) {
  const std::lock_guard lock(regions_mutex);
  region->end = 0;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path)
    : path_(path), descriptor_(OpenRegularFile(path)) {
  try {
    before_ = StampOf(descriptor_, path);
    if (before_.st_size == 0) return;
    const auto size = static_cast<size_t>(before_.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (address == MAP_FAILED) ThrowSystem(path, "cannot map");
    bytes_ = {static_cast<const std::byte*>(address), size};
    region_ = TakeRegion(bytes_);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

MappedFile::~MappedFile() {
  if (region_ != nullptr) GiveBackRegion(region_);
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
  ::close(descriptor_);
}

MappedFile::State MappedFile::Look() const {
  if (region_ != nullptr && region_->damaged.load(std::memory_order_acquire)) {
    return State::kChanged;
  }
  struct stat now = {};
  if (::fstat(descriptor_, &now) != 0) ThrowSystem(path_, "cannot stat");
  if (now.st_size != before_.st_size || !IsEqual(now.st_mtim, before_.st_mtim)) {
    return State::kChanged;
  }
  if (IsEqual(now.st_ctim, before_.st_ctim)) return State::kSame;
  const bool relabelled = now.st_nlink != before_.st_nlink || now.st_mode != before_.st_mode ||
                          now.st_uid != before_.st_uid || now.st_gid != before_.st_gid;
  return relabelled ? State::kRelabelled : State::kChanged;
}

void MappedFile::ThrowChanged() const {
  const bool damaged = region_ != nullptr && region_->damaged.load(std::memory_order_acquire);
  struct stat now = {};
  const bool known = ::fstat(descriptor_, &now) == 0;
  std::string found = "it was written to";
  if (known && now.st_size != before_.st_size) {
    found = fmt::format("it had {} bytes and has {}", before_.st_size, now.st_size);
  } else if (damaged) {
    found = "a part of it could not be read";
  }
  Throw(ErrorCode::kCorrupt,
        "'{}' changed while it was in use ({}): what was read of it counts for nothing; run again "
        "when the file is whole",
        path_.string(), found);
}

void MappedFile::Remember() { before_ = StampOf(descriptor_, path_); }

}  // namespace retort
