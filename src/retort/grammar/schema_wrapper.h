#pragma once

#include "retort/grammar/schema_document.h"

namespace retort::grammar {

// Schemas are often copied with what an API wraps them in: {"name": ..., "strict": true, "schema":
// {...}}, that under "json_schema", the definition of a tool. The schema within, or `root` itself
// if it is no wrapper that is known. A wrapper is known by all its members and their types, for a
// schema whose keywords are misspelt must not be taken for one.
const SchemaValue& UnwrapSchema(const SchemaValue& root);

}  // namespace retort::grammar
