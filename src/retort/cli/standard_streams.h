#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

// The one way of the program to its standard streams. A result that cannot be written is an error;
// words for a person that cannot be written are not.
namespace retort {

// To be called before anything else opens a file. A descriptor from 0 to 2 that is closed would be
// the next file's, which then gets what is meant for the stream. It is held with /dev/null, opened
// the other way round: using the stream still fails, as it does on a closed descriptor. Writing to
// a pipe or a file that takes no more becomes an error, where it would end the process.
void PrepareStandardStreams();

// Whoever read standard output wants no more of it.
struct OutputClosed {};

// Adds to standard output a result as it is: text that a model made, JSON, for a program to read.
// On a terminal its control characters are written out (base/printable.h). Throws Error{kIo} if
// it cannot be written, now or when it is flushed, and OutputClosed if its reader is gone.
void PrintResult(std::string_view result);

// Adds to standard output a text for people, with control characters written out. Throws as above.
void PrintText(std::string_view text);

template <typename... Args>
void Print(fmt::format_string<Args...> format, Args&&... args) {
  PrintText(fmt::format(format, std::forward<Args>(args)...));
}

// Writes what was added. Throws as above.
void FlushOutput();

// Says something on standard error, with control characters written out.
void NoteText(std::string_view text);

template <typename... Args>
void Note(fmt::format_string<Args...> format, Args&&... args) {
  NoteText(fmt::format(format, std::forward<Args>(args)...));
}

// Moves the cursor of the terminal that standard error is.
void SendToTerminal(std::string_view escapes);

// All of standard input, a text. Throws Error{kIo}, {kExhausted} beyond `bytes_max`, or {kInvalid}
// if it is no UTF-8.
std::string ReadStandardInput(uint64_t bytes_max);

}  // namespace retort
