#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace retort {

// What went wrong, told by what the caller can do about it. A code exists only if some caller acts
// on it differently from the others.
enum class ErrorCode {
  kInvalid,      // the input is wrong: correct it
  kNotFound,     // a named thing does not exist: name another
  kUnsupported,  // valid, but this build or device cannot do it: use another
  kExhausted,    // a stated limit (memory, tokens, queue) is reached: ask for less, or later
  kCorrupt,      // stored data contradicts itself: replace it
  kIo,           // the operating system refused: look at the disk, the rights, the network
  kCancelled,    // somebody asked to stop
  kDeadline,     // the time given is over
  kUnavailable,  // a remote or a worker is away: retry
  kInternal,     // a bug here: report it
};

inline constexpr int kNumErrorCodes = 10;

// The one exception type. Thrown anywhere, caught at a boundary (a request, a row, a command, the
// top of a thread). `what()` is the message: what was expected, what was found, and where.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
};

// "invalid", "not_found", ... as written in reports and logs.
std::string_view ErrorCodeName(ErrorCode code);

// The process exit status of a command that ends with this error (docs/EXIT_STATUS.md).
int ExitStatus(ErrorCode code);

// The HTTP status of a response that carries this error.
int HttpStatus(ErrorCode code);

// Throws Error{code, formatted message}.
template <typename... Args>
[[noreturn]] void Throw(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// The current exception as an Error: itself if it is one, kExhausted for std::bad_alloc, else
// kInternal with its text. Call inside a catch block.
Error CurrentError();

}  // namespace retort
