#include <bit>
#include <cstring>

#include "retort/base/error.h"
#include "retort/tokenizer/load_tokenizer.h"
#include "retort/tokenizer/sentence_piece.h"

namespace retort {
namespace {

// One field of a protocol-buffer message (protobuf.dev/programming-guides/encoding).
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;      // of a varint or a fixed-width number, by its bits
  std::string_view bytes;  // of a length-delimited one
};

// Walks over the fields of one message. Throws Error{kCorrupt} where it breaks off.
class Message {
 public:
  Message(std::string_view bytes, std::string_view origin) : rest_(bytes), origin_(origin) {}

  bool Next(Field* field) {
    if (rest_.empty()) return false;
    const uint64_t tag = Varint();
    *field = {};
    field->number = tag >> 3;
    switch (tag & 7) {
      case 0:
        field->value = Varint();
        return true;
      case 1:
        field->value = Fixed<uint64_t>();
        return true;
      case 2:
        field->bytes = Take(Varint());
        return true;
      case 5:
        field->value = Fixed<uint32_t>();
        return true;
      default:
        Broken("an unknown wire type");
    }
  }

 private:
  [[noreturn]] void Broken(std::string_view what) const {
    Throw(ErrorCode::kCorrupt, "{}: not a SentencePiece model: {}", origin_, what);
  }
  std::string_view Take(uint64_t size) {
    if (size > rest_.size()) Broken("a field runs past the end");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  template <typename T>
  T Fixed() {
    T value;
    std::memcpy(&value, Take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<uint8_t>(Take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    Broken("a number longer than 10 bytes");
  }

  std::string_view rest_;
  std::string_view origin_;
};

struct ModelFile {
  std::vector<std::string_view> texts;
  std::vector<PieceType> types;
  std::vector<float> scores;
  uint64_t model_type = 1;  // 1 unigram, 2 BPE, 3 words, 4 characters
  int64_t unk_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool has_character_map = false;
};

void ReadPiece(std::string_view bytes, std::string_view origin, ModelFile* out) {
  std::string_view text;
  float score = 0;
  uint64_t type = 1;
  Message message(bytes, origin);
  for (Field field; message.Next(&field);) {
    if (field.number == 1) text = field.bytes;
    if (field.number == 2) score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == 3) type = field.value;
  }
  if (type < 1 || type > 6) {
    Throw(ErrorCode::kCorrupt, "{}: piece {} has type {}, expected 1 to 6", origin,
          out->texts.size(), type);
  }
  out->texts.push_back(text);
  out->scores.push_back(score);
  out->types.push_back(static_cast<PieceType>(type));
}

void ReadTrainer(std::string_view bytes, std::string_view origin, ModelFile* out) {
  Message message(bytes, origin);
  for (Field field; message.Next(&field);) {
    const auto id = static_cast<int64_t>(field.value);
    switch (field.number) {
      case 3:
        out->model_type = field.value;
        break;
      case 40:
        out->unk_id = id;
        break;
      case 41:
        out->bos_id = id;
        break;
      case 42:
        out->eos_id = id;
        break;
      case 43:
        out->pad_id = id;
        break;
      default:
        break;
    }
  }
}

void ReadNormalizer(std::string_view bytes, std::string_view origin, ModelFile* out) {
  Message message(bytes, origin);
  for (Field field; message.Next(&field);) {
    if (field.number == 2) out->has_character_map = !field.bytes.empty();
    if (field.number == 3) out->add_dummy_prefix = field.value != 0;
    if (field.number == 4) out->remove_extra_whitespaces = field.value != 0;
  }
}

ModelFile ReadModel(std::string_view bytes, std::string_view origin) {
  ModelFile out;
  Message message(bytes, origin);
  for (Field field; message.Next(&field);) {
    if (field.number == 1) ReadPiece(field.bytes, origin, &out);
    if (field.number == 2) ReadTrainer(field.bytes, origin, &out);
    if (field.number == 3) ReadNormalizer(field.bytes, origin, &out);
  }
  if (out.texts.empty()) Throw(ErrorCode::kCorrupt, "{}: the model has no pieces", origin);
  if (out.model_type != 2) {
    Throw(ErrorCode::kUnsupported,
          "{}: SentencePiece model type {} (1 Unigram, 3 words, 4 characters) is not supported "
          "here; this build has 2 (BPE)",
          origin, out.model_type);
  }
  if (out.has_character_map) {
    Throw(ErrorCode::kUnsupported, "{}: a precompiled character map is not supported here", origin);
  }
  return out;
}

}  // namespace

std::shared_ptr<const Tokenizer> LoadSentencePiece(std::string_view model_bytes,
                                                   std::string_view origin) {
  const ModelFile file = ReadModel(model_bytes, origin);
  VocabularyBuilder builder{std::string(origin)};
  for (size_t id = 0; id < file.texts.size(); ++id) {
    AddPiece(static_cast<int64_t>(id), file.texts[id], file.types[id], &builder);
  }
  TokenizerParts parts;
  std::vector<int32_t> named;
  const auto role = [&](int64_t id, std::optional<int32_t>* out) {
    if (id < 0 || id >= static_cast<int64_t>(builder.num_ids())) return;  // -1: there is none
    *out = static_cast<int32_t>(id);
    named.push_back(static_cast<int32_t>(id));
  };
  role(file.unk_id, &parts.unk_id);
  role(file.bos_id, &parts.bos_id);
  role(file.eos_id, &parts.eos_id);
  role(file.pad_id, &parts.pad_id);
  builder.Finish(named);
  if (file.remove_extra_whitespaces) {
    parts.normalizer.Add(Normalizer::Strip{true, true}, builder.origin());
    parts.normalizer.Add(Normalizer::ReplaceMatches{Regex(" {2,}", origin), " "}, builder.origin());
  }
  BuildSentencePiece(builder, file.scores, file.add_dummy_prefix, &parts);
  builder.FillParts(&parts);
  if (parts.bos_id) parts.prefix_ids = {*parts.bos_id};
  return std::make_shared<const Tokenizer>(std::move(parts));
}

}  // namespace retort
