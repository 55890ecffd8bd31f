#include "retort/tasks/list_scorer.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

// After DEITA's Evol-Complexity scorer (Liu et al. 2024, arXiv:2312.15685, section 2.3). The words
// are our own.
constexpr ListScorerTexts kTexts = {
    .list_variable = "instructions",
    .item_variable = "instruction",
    .listwise_template =
        "Below are {{ instructions | length }} instructions. Judge how hard each one is to answer "
        "well, "
        "on a scale from 1 (trivial) to 6 (very hard).\n\n"
        "{% for instruction in instructions %}[{{ loop.index }}] {{ instruction }}\n\n{% endfor %}"
        "Reply with {{ instructions | length }} lines and nothing else, one for each instruction "
        "in "
        "this order, in this form:\n"
        "{% for instruction in instructions %}[{{ loop.index }}] Score: <1 to 6>\n{% endfor %}",
    .expectation_template =
        "How hard is the following instruction to answer well? Judge it on a scale from 1 "
        "(trivial) to "
        "6 (very hard).\n\nInstruction:\n{{ instruction }}\n\nReply with one digit from 1 to 6 and "
        "nothing else.",
    .other_variables = {},
};

}  // namespace

StepType ComplexityScorerType() {
  return MakeListScorerType("ComplexityScorer",
                            "Scores how hard instructions are (DEITA, Liu et al. 2024).", kTexts);
}

}  // namespace retort
