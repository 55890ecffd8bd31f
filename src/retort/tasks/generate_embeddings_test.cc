#include <gtest/gtest.h>

#include "retort/base/error.h"
#include "retort/tasks/fake_row_context_test.h"
#include "retort/tasks/task_list.h"

namespace retort {
namespace {

TEST(GenerateEmbeddings, TextAsItIsAndConversationsThroughTheChatTemplate) {
  FakeRowContext context;
  const Row out = RunTask(GenerateEmbeddingsType(), {}, {{"text", "hello"}}, context);
  EXPECT_EQ(out["embedding"], Json({1.0f, 2.0f}));
  EXPECT_EQ(context.pooling, PoolingKind::kLastToken);
  RunTask(GenerateEmbeddingsType(), {{"pooling", "mean"}},
          {{"text", Json::array({{{"role", "user"}, {"content", "hi"}}})}}, context);
  EXPECT_EQ(context.pooling, PoolingKind::kMean);
  const auto& chat = std::get<ChatPrompt>(context.asked.at(1));
  EXPECT_FALSE(chat.add_generation_prompt);
}

TEST(GenerateEmbeddings, NothingToEmbedFailsTheRow) {
  FakeRowContext context;
  for (const Json& text : {Json(""), Json::array(), Json(3)}) {
    EXPECT_THROW(RunTask(GenerateEmbeddingsType(), {}, {{"text", text}}, context), Error)
        << text.dump();
  }
}

}  // namespace
}  // namespace retort
