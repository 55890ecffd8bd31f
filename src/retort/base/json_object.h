#pragma once

#include <string>
#include <utility>

#include "retort/base/json.h"

namespace retort {

// Adds a member whose key the caller knows to be new. An ordered object finds a key by walking over
// all of them, so filling one by operator[] takes time with the square of its keys.
inline Json& AppendMember(Json::object_t& object, std::string key, Json value) {
  object.Json::object_t::Container::emplace_back(std::move(key), std::move(value));
  return object.back().second;
}

}  // namespace retort
