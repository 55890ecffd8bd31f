#include "retort/steps/neighbour_index.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>

#include "retort/base/error.h"

namespace retort {
namespace {

constexpr const char* kModuleName = "libretort_faiss.so";  // found by the binary's RUNPATH
constexpr const char* kFunctionName = "RetortMakeNeighbourIndex";

// OpenBLAS takes 32 MiB of addresses a thread when it is loaded, and waits for ever where it gets
// none. Twice that, and some for the libraries themselves.
constexpr size_t kBytesPerThread = size_t{64} << 20;
constexpr size_t kLibraryBytes = size_t{128} << 20;

using MakeFunction = NeighbourIndex* (*)(size_t dim);

void CheckRoom() {
  const size_t bytes =
      kLibraryBytes + kBytesPerThread * std::max(1u, std::thread::hardware_concurrency());
  void* room =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) {
    Throw(ErrorCode::kExhausted,
          "FAISS needs {} bytes of addresses, which this process cannot have ({}): raise its limit "
          "(ulimit -v)",
          bytes, std::strerror(errno));
  }
  ::munmap(room, bytes);
}

MakeFunction OpenModule() {
  static std::mutex mutex;
  static MakeFunction make = nullptr;
  const std::lock_guard lock(mutex);
  if (make != nullptr) return make;
  CheckRoom();
  void* module = ::dlopen(kModuleName, RTLD_NOW | RTLD_LOCAL);  // never closed: it has threads
  if (module != nullptr) make = reinterpret_cast<MakeFunction>(::dlsym(module, kFunctionName));
  if (make == nullptr) {
    Throw(ErrorCode::kUnsupported,
          "the module of FAISS cannot be opened ({}): it belongs beside the binary, or into "
          "../lib/retort",
          ::dlerror());
  }
  return make;
}

}  // namespace

std::unique_ptr<NeighbourIndex> MakeNeighbourIndex(size_t dim) {
  return std::unique_ptr<NeighbourIndex>(OpenModule()(dim));
}

void OpenNeighbourModule() { OpenModule(); }

}  // namespace retort
