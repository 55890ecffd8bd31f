#include "retort/base/error.h"

#include <array>
#include <filesystem>
#include <new>

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
  } catch (const std::exception& error) {
    return Error(ErrorCode::kInternal, error.what());
  } catch (...) {
    return Error(ErrorCode::kInternal, "unknown exception");
  }
}

}  // namespace retort
