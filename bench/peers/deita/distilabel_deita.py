"""DEITA by Distilabel's documentation, each of its five models a TransformersLLM of the same folder.

  distilabel_deita.py MODEL SEEDS.jsonl RESULT.json [--rows N] [--evolutions N] [--max-new-tokens N]

Writes the seconds from Pipeline.run to the first batch that the last step gets, rows that reached it, and the time of
model loading as each process reports it. The embedding model is in f32: in bf16 Distilabel's step raises an error.
"""

import argparse
import json
import time

from distilabel.models import TransformersLLM
from distilabel.pipeline import Pipeline
from distilabel.steps import (
    ConversationTemplate, ExpandColumns, GlobalStep, LoadDataFromDicts, StepInput)
from distilabel.steps.tasks import ComplexityScorer, EvolInstruct, EvolQuality, GenerateEmbeddings, QualityScorer


class Arrive(GlobalStep):
    """In DeitaFiltering's place, which raises a TypeError on scores that a small model leaves out: writes down when
    the rows are there, and how many."""

    path: str

    @property
    def inputs(self):
        return ["embedding", "evol_instruction_score", "evol_response_score"]

    def process(self, inputs: StepInput):
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump({"at": time.time(), "rows": len(inputs),
                       "embedded": sum(row["embedding"] is not None for row in inputs)}, file)
        yield inputs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("seeds")
    parser.add_argument("result")
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--evolutions", type=int, default=2)
    parser.add_argument("--max-new-tokens", type=int, default=128)
    args = parser.parse_args()

    with open(args.seeds, encoding="utf-8") as file:
        rows = [{"instruction": json.loads(line)["prompt"]} for line in file][:args.rows]

    def model(temperature, dtype="bfloat16"):
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        return TransformersLLM(model=args.model, torch_dtype=dtype, device="cpu",
                               generation_kwargs={"max_new_tokens": args.max_new_tokens, **sampling})

    with Pipeline(name="deita") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=len(rows))
        instructions = EvolInstruct(
            llm=model(0.7), num_evolutions=args.evolutions, store_evolutions=True, generate_answers=True,
            include_original_instruction=True)
        complexity = ComplexityScorer(llm=model(0), input_mappings={"instructions": "evolved_instructions"})
        expand_instructions = ExpandColumns(
            columns=["evolved_instructions", "answers", "scores"],
            output_mappings={"evolved_instructions": "evolved_instruction", "answers": "answer",
                             "scores": "evol_instruction_score"})
        responses = EvolQuality(
            llm=model(0.7), num_evolutions=args.evolutions, store_evolutions=True, include_original_response=True,
            input_mappings={"instruction": "evolved_instruction", "response": "answer"})
        quality = QualityScorer(
            llm=model(0), input_mappings={"instruction": "evolved_instruction", "responses": "evolved_responses"})
        expand_responses = ExpandColumns(
            columns=["evolved_responses", "scores"],
            output_mappings={"evolved_responses": "evolved_response", "scores": "evol_response_score"})
        conversation = ConversationTemplate(
            input_mappings={"instruction": "evolved_instruction", "response": "evolved_response"})
        embed = GenerateEmbeddings(llm=model(0, "float32"), input_mappings={"text": "conversation"}, input_batch_size=5)
        arrive = Arrive(path=args.result, input_batch_size=10 ** 6)
        (load >> instructions >> complexity >> expand_instructions >> responses >> quality >> expand_responses
         >> conversation >> embed >> arrive)
    begun = time.time()
    pipeline.run(use_cache=False)
    with open(args.result, encoding="utf-8") as file:
        result = json.load(file)
    result["seconds"] = result.pop("at") - begun
    with open(args.result, "w", encoding="utf-8") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main()
