#pragma once

#include <map>
#include <span>
#include <string>

#include "retort/pipeline/graph.h"

namespace retort {

// Gives columns other names, in place: old name → new name, all at once, so that names can be
// swapped. Throws Error{kInvalid}, with the row as it was, if two columns would become one. Time is
// linear in the columns.
void RenameColumns(Row& row, const std::map<std::string, std::string>& names);

// What the columns of a whole row are called while a step works that rewrites rows (by their names
// outside), and after it (by their names inside). Where the mappings give an input or output of the
// step another name, a column outside may have the step's own one: it steps aside meanwhile.
std::map<std::string, std::string> NamesInside(const GraphStep& step);
std::map<std::string, std::string> NamesOutside(const GraphStep& step);
// The name of a column that stepped aside, as outside; of any other, the same.
std::string WithoutAside(const std::string& name);

// RenameColumns() by these.
void ToOwnNames(const GraphStep& step, Row& row);
void ToColumnNames(const GraphStep& step, Row& row);

// Throws Error{kInvalid} for a row with a column that the step would replace and that the check of
// the graph did not see.
void CheckReplaced(const GraphStep& step, const Row& row);

// "a, b, c" for a message; of many names only the first. "none" for none.
std::string ListNames(std::span<const std::string> names);
std::string ListColumns(const Row& row);

}  // namespace retort
