#include "retort/checkpoint/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <unordered_set>

#include "retort/base/error.h"
#include "retort/tensor/float_bits.h"

namespace retort {
namespace {

struct TensorType {
  uint32_t id;
  std::string_view name;
  Format format;
  int block_values;
  int block_bytes;
};

constexpr TensorType Known(uint32_t id, std::string_view name, Format format) {
  return {id, name, format, 0, 0};  // sizes are those of the format's table
}
constexpr TensorType Listed(uint32_t id, std::string_view name, int block_values, int block_bytes) {
  return {id, name, Format::kUnsupported, block_values, block_bytes};
}

// The type numbers of the file format. `Listed` ones can be skipped over but not decoded.
constexpr std::array<TensorType, 35> kTensorTypes = {{
    Known(0, "F32", Format::kF32),        Known(1, "F16", Format::kF16),
    Known(2, "Q4_0", Format::kQ4_0),      Known(3, "Q4_1", Format::kQ4_1),
    Known(6, "Q5_0", Format::kQ5_0),      Known(7, "Q5_1", Format::kQ5_1),
    Known(8, "Q8_0", Format::kQ8_0),      Listed(9, "Q8_1", 32, 36),
    Known(10, "Q2_K", Format::kQ2_K),     Known(11, "Q3_K", Format::kQ3_K),
    Known(12, "Q4_K", Format::kQ4_K),     Known(13, "Q5_K", Format::kQ5_K),
    Known(14, "Q6_K", Format::kQ6_K),     Listed(15, "Q8_K", 256, 292),
    Listed(16, "IQ2_XXS", 256, 66),       Listed(17, "IQ2_XS", 256, 74),
    Listed(18, "IQ3_XXS", 256, 98),       Listed(19, "IQ1_S", 256, 50),
    Known(20, "IQ4_NL", Format::kIQ4_NL), Listed(21, "IQ3_S", 256, 110),
    Listed(22, "IQ2_S", 256, 82),         Known(23, "IQ4_XS", Format::kIQ4_XS),
    Known(24, "I8", Format::kI8),         Known(25, "I16", Format::kI16),
    Known(26, "I32", Format::kI32),       Known(27, "I64", Format::kI64),
    Known(28, "F64", Format::kF64),       Listed(29, "IQ1_M", 256, 56),
    Known(30, "BF16", Format::kBF16),     Known(34, "TQ1_0", Format::kTQ1_0),
    Known(35, "TQ2_0", Format::kTQ2_0),   Known(39, "MXFP4", Format::kMXFP4),
    Listed(40, "NVFP4", 64, 36),          Listed(41, "Q1_0", 128, 18),
    Listed(42, "Q2_0", 64, 18),
}};

const TensorType* FindTensorType(uint32_t id) {
  const auto* found = std::find_if(kTensorTypes.begin(), kTensorTypes.end(),
                                   [&](const TensorType& type) { return type.id == id; });
  return found == kTensorTypes.end() ? nullptr : found;
}

enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBoolean = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// Fewest bytes one value of the type takes; 0 for a number that is no type.
uint64_t ValueBytesMin(uint32_t type) {
  constexpr std::array<uint8_t, 13> kBytes = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  return type < kBytes.size() ? kBytes[type] : 0;
}

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, std::string_view origin)
      : bytes_(bytes), origin_(origin) {}

  WeightFile Parse() {
    ReadCounts();
    ReadMetadata();
    RefuseParts();
    ReadTensorInfos();
    PlaceTensors();
    return std::move(file_);
  }

 private:
  struct TensorInfo {
    std::string_view name;
    Shape shape;
    uint32_t type_id;
    uint64_t offset;
  };

  template <typename... Args>
  [[noreturn]] void Refuse(ErrorCode code, fmt::format_string<Args...> format,
                           Args&&... args) const {
    Throw(code, "GGUF file '{}': {}", origin_, fmt::format(format, std::forward<Args>(args)...));
  }

  uint64_t Remaining() const { return bytes_.size() - position_; }

  std::span<const std::byte> Take(uint64_t count, std::string_view what) {
    if (count > Remaining()) {
      Refuse(ErrorCode::kCorrupt, "{} at byte {} needs {} bytes, only {} are left", what, position_,
             count, Remaining());
    }
    const auto taken = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return taken;
  }

  template <typename T>
  T Read(std::string_view what) {
    return LoadAs<T>(Take(sizeof(T), what).data());
  }

  std::string_view ReadString(std::string_view what, uint64_t bytes_max = UINT64_MAX) {
    const auto length = Read<uint64_t>(what);
    if (length > bytes_max) {
      Refuse(ErrorCode::kCorrupt, "{} at byte {} has {} bytes; at most {} are allowed", what,
             position_, length, bytes_max);
    }
    const auto text = Take(length, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  void ReadCounts() {
    const auto magic = Take(4, "the magic number");
    if (std::memcmp(magic.data(), "GGUF", 4) != 0) {
      Refuse(ErrorCode::kCorrupt,
             "expected the magic number \"GGUF\", found bytes {:02x}{:02x}{:02x}{:02x}", magic[0],
             magic[1], magic[2], magic[3]);
    }
    const auto version = Read<uint32_t>("the version");
    if ((version & 0xffff) == 0) {
      Refuse(ErrorCode::kUnsupported, "version {:#x}: a big-endian file is not supported", version);
    }
    if (version != 2 && version != 3) {
      Refuse(ErrorCode::kUnsupported, "expected version 2 or 3, found {}", version);
    }
    num_tensors_ = Read<uint64_t>("the number of tensors");
    num_keys_ = Read<uint64_t>("the number of keys");
    if (num_keys_ > kGgufKeysMax) {
      Refuse(ErrorCode::kCorrupt, "{} keys; at most {} are allowed", num_keys_, kGgufKeysMax);
    }
    constexpr uint64_t kTensorInfoBytesMin = 8 + 4 + 4 + 8;
    if (num_tensors_ > Remaining() / kTensorInfoBytesMin) {
      Refuse(ErrorCode::kCorrupt, "{} tensors cannot be described in {} bytes", num_tensors_,
             Remaining());
    }
  }

  void ReadMetadata() {
    std::unordered_set<std::string_view> keys;
    auto& object = file_.metadata.get_ref<Json::object_t&>();
    for (uint64_t i = 0; i < num_keys_; ++i) {
      const std::string_view key = ReadString("a key", kGgufNameBytesMax);
      if (key.empty()) Refuse(ErrorCode::kCorrupt, "key {} is empty", i);
      if (!keys.insert(key).second) Refuse(ErrorCode::kCorrupt, "key '{}' is there twice", key);
      const auto type = Read<uint32_t>(key);
      object.Json::object_t::Container::emplace_back(std::string(key), ReadValue(type, key, 0));
    }
    const auto alignment = file_.metadata.find("general.alignment");
    if (alignment == file_.metadata.end()) return;
    const bool valid = alignment->is_number_unsigned() &&
                       alignment->get<uint64_t>() <= kGgufAlignmentMax &&
                       std::has_single_bit(alignment->get<uint64_t>());
    if (!valid) {
      Refuse(ErrorCode::kCorrupt, "general.alignment must be a power of two up to {}, found {}",
             kGgufAlignmentMax, DumpJson(*alignment).substr(0, 40));
    }
    alignment_ = alignment->get<uint64_t>();
  }

  Json ReadValue(uint32_t type, std::string_view key, int depth) {
    switch (type) {
      case kUint8:
        return uint64_t{Read<uint8_t>(key)};
      case kInt8:
        return int64_t{Read<int8_t>(key)};
      case kUint16:
        return uint64_t{Read<uint16_t>(key)};
      case kInt16:
        return int64_t{Read<int16_t>(key)};
      case kUint32:
        return uint64_t{Read<uint32_t>(key)};
      case kInt32:
        return int64_t{Read<int32_t>(key)};
      case kUint64:
        return Read<uint64_t>(key);
      case kInt64:
        return Read<int64_t>(key);
      case kFloat32:
        return double{Read<float>(key)};
      case kFloat64:
        return Read<double>(key);
      case kBoolean:
        return ReadBoolean(key);
      case kString:
        return std::string(ReadString(key));
      case kArray:
        return ReadArray(key, depth);
      default:
        Refuse(ErrorCode::kCorrupt, "key '{}' has the unknown value type {}", key, type);
    }
  }

  Json ReadBoolean(std::string_view key) {
    const auto value = Read<uint8_t>(key);
    if (value > 1) Refuse(ErrorCode::kCorrupt, "key '{}': {} is no boolean", key, value);
    return value == 1;
  }

  Json ReadArray(std::string_view key, int depth) {
    if (depth >= kGgufArrayDepthMax) {
      Refuse(ErrorCode::kCorrupt, "key '{}': arrays are nested deeper than {}", key,
             kGgufArrayDepthMax);
    }
    const auto type = Read<uint32_t>(key);
    const auto count = Read<uint64_t>(key);
    const uint64_t bytes_min = ValueBytesMin(type);
    if (bytes_min == 0) {
      Refuse(ErrorCode::kCorrupt, "key '{}': array of the unknown value type {}", key, type);
    }
    if (count > Remaining() / bytes_min) {
      Refuse(ErrorCode::kCorrupt, "key '{}': {} elements do not fit in the {} bytes left", key,
             count, Remaining());
    }
    if (count > kGgufArrayElementsMax - num_elements_) {
      Refuse(ErrorCode::kExhausted, "key '{}': more than {} array elements in all", key,
             kGgufArrayElementsMax);
    }
    num_elements_ += count;
    Json::array_t elements;
    elements.reserve(static_cast<size_t>(count));
    for (uint64_t i = 0; i < count; ++i) elements.push_back(ReadValue(type, key, depth + 1));
    return Json(std::move(elements));
  }

  void RefuseParts() const {
    const auto parts = file_.metadata.find("split.count");
    if (parts == file_.metadata.end() || !parts->is_number_integer()) return;
    if (parts->get<uint64_t>() > 1) {
      Refuse(ErrorCode::kUnsupported,
             "it is one of {} parts; models split in several GGUF files are not supported: merge "
             "them into one file first",
             parts->get<uint64_t>());
    }
  }

  void ReadTensorInfos() {
    std::unordered_set<std::string_view> names;
    infos_.reserve(static_cast<size_t>(num_tensors_));
    for (uint64_t i = 0; i < num_tensors_; ++i) {
      TensorInfo info;
      info.name = ReadString("a tensor's name", kGgufNameBytesMax);
      if (!names.insert(info.name).second) {
        Refuse(ErrorCode::kCorrupt, "tensor '{}' is there twice", info.name);
      }
      const auto rank = Read<uint32_t>(info.name);
      if (rank > 4) {
        Refuse(ErrorCode::kCorrupt, "tensor '{}' has {} dimensions; at most 4 are allowed",
               info.name, rank);
      }
      std::array<int64_t, 4> dims = {};
      for (uint32_t axis = 0; axis < rank; ++axis) {
        const auto dim = Read<uint64_t>(info.name);
        if (dim > INT64_MAX) {
          Refuse(ErrorCode::kCorrupt, "tensor '{}': dimension {} does not fit in 63 bits",
                 info.name, dim);
        }
        dims[rank - 1 - axis] = static_cast<int64_t>(dim);  // the file has the innermost first
      }
      info.shape = Shape(std::span(dims).first(rank));
      info.type_id = Read<uint32_t>(info.name);
      info.offset = Read<uint64_t>(info.name);
      infos_.push_back(info);
    }
  }

  // The size of a tensor from its type and shape; nothing if the type is unknown.
  std::optional<uint64_t> StoredSize(const TensorInfo& info) const {
    const TensorType* type = FindTensorType(info.type_id);
    if (type == nullptr) return std::nullopt;
    const bool known = type->format != Format::kUnsupported;
    const int block_values = known ? Info(type->format).block_values : type->block_values;
    const int block_bytes = known ? Info(type->format).block_bytes : type->block_bytes;
    if (info.shape.RowValues() % block_values != 0) {
      Refuse(ErrorCode::kCorrupt,
             "tensor '{}' {}: rows of {} values are no whole number of {} blocks of {}", info.name,
             info.shape.ToString(), info.shape.RowValues(), type->name, block_values);
    }
    int64_t num_values = 0;
    try {
      num_values = info.shape.NumValues();
    } catch (const Error& error) {
      Refuse(ErrorCode::kCorrupt, "tensor '{}': {}", info.name, error.message());
    }
    int64_t stored_bytes = 0;
    if (__builtin_mul_overflow(num_values / block_values, block_bytes, &stored_bytes)) {
      Refuse(ErrorCode::kCorrupt, "tensor '{}' {}: its size does not fit in 63 bits", info.name,
             info.shape.ToString());
    }
    return static_cast<uint64_t>(stored_bytes);
  }

  // Tensors lie one after the other in the order of their descriptions, each padded to the
  // alignment. The last one may lack its padding; bytes behind it are not looked at.
  void PlaceTensors() {
    if (infos_.empty()) return;  // a vocabulary alone: the file may end without padding
    const uint64_t padding = (alignment_ - position_ % alignment_) % alignment_;
    Take(padding, "the padding before the data");
    const auto data = bytes_.subspan(position_);
    uint64_t expected = 0;
    for (size_t i = 0; i < infos_.size(); ++i) {
      const TensorInfo& info = infos_[i];
      if (info.offset != expected) {
        Refuse(ErrorCode::kCorrupt, "tensor '{}' begins at byte {} of the data, expected {}",
               info.name, info.offset, expected);
      }
      const std::optional<uint64_t> known_size = StoredSize(info);
      const uint64_t next = i + 1 < infos_.size() ? infos_[i + 1].offset : data.size();
      const uint64_t size = known_size ? *known_size : next - std::min(next, info.offset);
      if (info.offset > data.size() || size > data.size() - info.offset) {
        Refuse(ErrorCode::kCorrupt,
               "tensor '{}' ends at byte {} of the data, which has {} (is the file cut off?)",
               info.name, info.offset + size, data.size());
      }
      AddTensor(info, data.subspan(static_cast<size_t>(info.offset), static_cast<size_t>(size)));
      // Sizes are below the file's, so neither sum can overflow.
      expected = info.offset + (size + alignment_ - 1) / alignment_ * alignment_;
    }
  }

  void AddTensor(const TensorInfo& info, std::span<const std::byte> data) {
    const TensorType* type = FindTensorType(info.type_id);
    std::string_view source_type;
    if (type != nullptr) {
      source_type = type->name;
    } else {
      file_.names.push_back(fmt::format("GGUF type {}", info.type_id));
      source_type = file_.names.back();
    }
    const Format format = type != nullptr ? type->format : Format::kUnsupported;
    file_.tensors.push_back({info.name, format, info.shape, data, source_type});
  }

  std::span<const std::byte> bytes_;
  std::string_view origin_;
  size_t position_ = 0;
  uint64_t num_tensors_ = 0;
  uint64_t num_keys_ = 0;
  uint64_t num_elements_ = 0;
  uint64_t alignment_ = 32;
  std::vector<TensorInfo> infos_;
  WeightFile file_;
};

}  // namespace

WeightFile ParseGguf(std::span<const std::byte> bytes, std::string_view origin) {
  return GgufParser(bytes, origin).Parse();
}

}  // namespace retort
