#include <array>

#include "retort/tasks/list_scorer.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

constexpr std::array<std::string_view, 1> kOtherVariables = {"instruction"};

// After DEITA's Evol-Quality scorer (Liu et al. 2024, arXiv:2312.15685, section 2.4). The words are
// our own.
constexpr ListScorerTexts kTexts = {
    .list_variable = "responses",
    .item_variable = "response",
    .listwise_template =
        "Below are an instruction and {{ responses | length }} responses to it. Judge how good "
        "each "
        "response is: how helpful, relevant, deep, creative and detailed, on a scale from 1 (bad) "
        "to 6 "
        "(excellent).\n\nInstruction:\n{{ instruction }}\n\n"
        "{% for response in responses %}[{{ loop.index }}] {{ response }}\n\n{% endfor %}"
        "Reply with {{ responses | length }} lines and nothing else, one for each response in this "
        "order, in this form:\n"
        "{% for response in responses %}[{{ loop.index }}] Score: <1 to 6>\n{% endfor %}",
    .expectation_template =
        "How good is the response to the instruction below: how helpful, relevant, deep, creative "
        "and "
        "detailed? Judge it on a scale from 1 (bad) to 6 (excellent).\n\n"
        "Instruction:\n{{ instruction }}\n\nResponse:\n{{ response }}\n\nReply with one digit from "
        "1 to "
        "6 and nothing else.",
    .other_variables = kOtherVariables,
};

}  // namespace

StepType QualityScorerType() {
  return MakeListScorerType(
      "QualityScorer", "Scores how good responses to an instruction are (DEITA, Liu et al. 2024).",
      kTexts);
}

}  // namespace retort
