#pragma once

#include <string_view>

namespace retort {

// Whether Jinja itself gives the name a meaning where no variable has it ("range").
bool IsTemplateGlobal(std::string_view name);

}  // namespace retort
