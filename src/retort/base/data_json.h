#pragma once

#include <string_view>

#include "retort/base/json.h"

namespace retort {

// ParseJson() for rows of data. A number becomes a 64-bit integer if it is written as one, else a
// double. Refused is a number of which nothing like it would be left: an integer beyond 64 bits
// (ParseJson makes it a double), a number below the least double (it makes it zero) or beyond the
// greatest (it refuses that itself). Checkpoints and schemas may hold such numbers: their readers
// use ParseJson.
Json ParseDataJson(std::string_view text, std::string_view origin);

}  // namespace retort
