#include "retort/base/error.h"

#include <array>
#include <filesystem>
#include <new>
#include <system_error>

namespace retort {
namespace {

struct CodeRow {
  std::string_view name;
  int exit_status;
  int http_status;
};

constexpr std::array<CodeRow, kNumErrorCodes> kCodes = {{
    {"invalid", 2, 400},
    {"not_found", 2, 404},
    {"unsupported", 2, 501},
    {"exhausted", 4, 429},
    {"corrupt", 2, 422},
    {"io", 5, 500},
    {"cancelled", 130, 499},
    {"deadline", 4, 504},
    {"unavailable", 4, 503},
    {"internal", 70, 500},
}};

// What the system refused: no fault of the program.
Error SystemFailure(const std::system_error& error) {
  if (error.code() == std::errc::resource_unavailable_try_again) {  // as std::thread says it
    return Error(ErrorCode::kExhausted,
                 fmt::format("the system starts no more threads ({}): raise the limit of processes "
                             "(ulimit -u), or give fewer --threads",
                             error.what()));
  }
  return Error(ErrorCode::kIo, error.what());
}

const CodeRow& RowOf(ErrorCode code) { return kCodes.at(static_cast<size_t>(code)); }

}  // namespace

std::string_view ErrorCodeName(ErrorCode code) { return RowOf(code).name; }
int ExitStatus(ErrorCode code) { return RowOf(code).exit_status; }
int HttpStatus(ErrorCode code) { return RowOf(code).http_status; }

Error CurrentError() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::filesystem::filesystem_error& error) {
    return Error(ErrorCode::kIo, error.what());  // names the path
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kExhausted, "out of memory");
  } catch (const std::system_error& error) {
    return SystemFailure(error);
  } catch (const std::exception& error) {
    return Error(ErrorCode::kInternal, error.what());
  } catch (...) {
    return Error(ErrorCode::kInternal, "unknown exception");
  }
}

}  // namespace retort
