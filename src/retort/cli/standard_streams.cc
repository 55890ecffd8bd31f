#include "retort/cli/standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "retort/base/error.h"
#include "retort/base/printable.h"
#include "retort/base/utf8.h"

namespace retort {
namespace {

// Larger results are written in pieces of this size: fewer system calls.
constexpr size_t kOutputBufferBytes = 1 << 16;

struct Output {
  const bool is_terminal = ::isatty(STDOUT_FILENO) != 0;
  std::string pending;
};

Output& StandardOutput() {
  static Output output;
  return output;
}

// 0, or the reason why it could not be written.
int WriteAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {  // somebody made the pipe one that does not block
      pollfd wait = {.fd = descriptor, .events = POLLOUT, .revents = 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void Add(std::string_view text) {
  Output& output = StandardOutput();
  output.pending += text;
  if (output.is_terminal || output.pending.size() >= kOutputBufferBytes) FlushOutput();
}

}  // namespace

void PrepareStandardStreams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // The lowest that is free: this one. Without /dev/null there is nothing to hold it with.
    ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

void PrintResult(std::string_view result) {
  Add(StandardOutput().is_terminal ? Printable(result) : std::string(result));
}

void PrintText(std::string_view text) { Add(Printable(text)); }

void FlushOutput() {
  std::string& pending = StandardOutput().pending;
  const int reason = WriteAll(STDOUT_FILENO, pending);
  pending.clear();
  if (reason == EPIPE) throw OutputClosed();
  if (reason != 0) {
    Throw(ErrorCode::kIo, "cannot write standard output: {}", std::strerror(reason));
  }
}

void NoteText(std::string_view text) { WriteAll(STDERR_FILENO, Printable(text)); }

void SendToTerminal(std::string_view escapes) { WriteAll(STDERR_FILENO, escapes); }

std::string ReadStandardInput(uint64_t bytes_max) {
  std::string content;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count == 0) break;
    if (count < 0 && errno == EAGAIN) {
      pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
      ::poll(&wait, 1, -1);
    } else if (count < 0 && errno != EINTR) {
      Throw(ErrorCode::kIo, "cannot read standard input: {}", std::strerror(errno));
    } else if (count > 0) {
      content.append(buffer, static_cast<size_t>(count));
      if (content.size() > bytes_max) {
        Throw(ErrorCode::kExhausted, "standard input is longer than the {} bytes allowed here",
              bytes_max);
      }
    }
  }
  if (!IsUtf8(content)) Throw(ErrorCode::kInvalid, "standard input is no UTF-8");
  return content;
}

}  // namespace retort
