#include "retort/llm/language_model.h"

#include <future>

namespace retort {

Response Await(LanguageModel& model, Request request) {
  std::promise<Response> promise;
  std::future<Response> future = promise.get_future();
  ResponseHandler handler;
  handler.on_done = [&promise](Response response) { promise.set_value(std::move(response)); };
  model.Submit(std::move(request), std::move(handler));
  Response response = future.get();
  if (const Error* error = std::get_if<Error>(&response.result)) throw *error;
  return response;
}

}  // namespace retort
