// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/shape_text.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/data/epoch.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam {

class ArrayLoader;

/// Pictures in the program's memory with what is to be learned from them, for `fit`, `evaluate` and `predict`:
///
///     ArrayData training{pixels, labels};        // classes 0, 1, …; any integers
///     ArrayData values{pixels, targets};         // [count][outputs] floats, for MeanSquaredError
///     ArrayData distilled{pixels, labels, teacher_logits};   // [count][classes] floats; −1: no label
///
/// Pixels are [count][height][width][channels]: floats as the network takes them, or bytes (std::uint8_t), which become
/// byte / 255. Labels are copied, everything else must outlive this object and stay where it is. `fit` and its kin
/// compare the sizes with the network.
class ArrayData {
public:
    template <std::ranges::range Pixels>
    explicit ArrayData(Pixels&& pixels) {
        set_pixels(std::forward<Pixels>(pixels));
    }
    template <std::ranges::range Pixels, std::ranges::range Targets = std::initializer_list<int>>
    ArrayData(Pixels&& pixels, Targets&& targets) : ArrayData{std::forward<Pixels>(pixels)} {
        if constexpr (std::integral<std::ranges::range_value_t<Targets>>)
            set_labels(targets);
        else
            targets_ = floats(std::forward<Targets>(targets));
    }
    template <std::ranges::range Pixels, std::ranges::range Labels, std::ranges::range Logits>
    ArrayData(Pixels&& pixels, Labels&& labels, Logits&& teacher_logits)
        : ArrayData{std::forward<Pixels>(pixels), std::forward<Labels>(labels)} {
        teacher_logits_ = floats(std::forward<Logits>(teacher_logits));
    }
    /// Arguments that are no ranges: says what to write.
    template <class Pixels, class... Others>
        requires(!(std::ranges::range<Pixels> && (std::ranges::range<Others> && ...)) &&
                 !std::same_as<std::remove_cvref_t<Pixels>, ArrayData>)
    explicit ArrayData(const Pixels&, const Others&...) {
        static_assert(sizeof(Pixels) == 0,
                      "pixels, labels, targets and teacher logits are ranges: of a pointer, write "
                      "std::span{pointer, count}");
    }

    /// Batches for a network with this input and number of outputs; this object must outlive them. Throws Error where
    /// the sizes do not fit each other or the network, or a label is no class of it.
    ArrayLoader loader(Shape image, Index outputs, Index batch_size, std::uint64_t seed) const;

    /// The samples [count] at `order` in `batch`, of pictures of `picture_size` values and `outputs` outputs.
    void assemble(std::span<const Index> order, Index picture_size, Index outputs, Batch& batch) const {
        const auto copy = [&](auto from, Index width, auto& to, auto convert) {
            to.resize(from.empty() ? 0 : order.size() * static_cast<std::size_t>(width));
            if (from.empty()) return;
            for (std::size_t slot = 0; slot < order.size(); ++slot)
                std::transform(from.begin() + order[slot] * width, from.begin() + (order[slot] + 1) * width,
                               to.begin() + static_cast<Index>(slot) * width, convert);
        };
        const auto same = [](auto value) { return value; };
        batch.count = static_cast<Index>(order.size());
        if (bytes_.empty())
            copy(floats_, picture_size, batch.pixels, same);
        else
            copy(bytes_, picture_size, batch.pixels,
                 [](std::uint8_t byte) { return static_cast<float>(byte) / 255.0F; });
        copy(std::span{labels_}, 1, batch.labels, same);
        copy(targets_, outputs, batch.targets, same);
        copy(teacher_logits_, outputs, batch.teacher_logits, same);
        batch.has_teacher.assign(teacher_logits_.empty() ? 0 : order.size(), 1);
    }

private:
    template <class Range>
    static constexpr bool outlives =
        std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> && std::ranges::borrowed_range<Range>;

    template <class Range>
    static std::span<const float> floats(Range&& range) {
        // A variable: clang would list how the concepts were checked.
        constexpr bool usable = std::same_as<std::ranges::range_value_t<Range>, float> && outlives<Range>;
        static_assert(usable,
                      "labels are integers; targets and teacher logits are contiguous floats that outlive ArrayData: "
                      "keep them in a variable");
        if constexpr (usable)
            return {std::ranges::data(range), std::ranges::size(range)};
        else
            return {};
    }

    template <class Pixels>
    void set_pixels(Pixels&& pixels) {
        using Value = std::ranges::range_value_t<Pixels>;
        constexpr bool usable = (std::same_as<Value, float> || std::same_as<Value, std::uint8_t>) && outlives<Pixels>;
        static_assert(usable,
                      "pixels are contiguous floats or std::uint8_t that outlive ArrayData: keep them in a variable");
        if constexpr (!usable)
            return;
        else if constexpr (std::same_as<Value, float>)
            floats_ = floats(std::forward<Pixels>(pixels));
        else
            bytes_ = {std::ranges::data(pixels), std::ranges::size(pixels)};
    }

    template <class Labels>
    void set_labels(const Labels& labels) {
        for (const auto label : labels) {
            const auto value = static_cast<std::int64_t>(label);
            if (value < -1 || value > std::numeric_limits<int>::max()) throw_label(labels_.size(), value, std::nullopt);
            labels_.push_back(static_cast<int>(value));
        }
    }

    [[noreturn]] static void throw_label(std::size_t index, std::int64_t label, std::optional<Index> classes) {
        throw Error("label " + std::to_string(label) + " at index " + std::to_string(index) +
                    (classes ? " is outside 0.." + std::to_string(*classes - 1) + "; the network has " +
                                   std::to_string(*classes) + " classes"
                             : " is no class; classes are counted from 0"));
    }

    std::span<const float> floats_{};
    std::span<const std::uint8_t> bytes_{};
    std::vector<int> labels_;
    std::span<const float> targets_{};
    std::span<const float> teacher_logits_{};
};

/// The batches of ArrayData: shuffled anew for each epoch of training from (seed, epoch), or in order.
class ArrayLoader {
public:
    class Batches {
    public:
        Batches(const ArrayLoader& loader, std::vector<Index> order, std::vector<BatchRange> ranges)
            : loader_{loader}, order_{std::move(order)}, ranges_{std::move(ranges)} {}

        /// The next batch, valid until the following call; nullptr after the last one.
        const Batch* next() {
            if (next_ == ranges_.size()) return nullptr;
            const BatchRange range = ranges_[next_++];
            loader_.data_.assemble(std::span{order_}.subspan(static_cast<std::size_t>(range.begin),
                                                             static_cast<std::size_t>(range.count())),
                                   loader_.picture_size_, loader_.outputs_, batch_);
            return &batch_;
        }

    private:
        const ArrayLoader& loader_;
        std::vector<Index> order_;
        std::vector<BatchRange> ranges_;
        std::size_t next_ = 0;
        Batch batch_;
    };

    ArrayLoader(const ArrayData& data, Index samples, Index picture_size, Index outputs, Index batch_size,
                std::uint64_t seed)
        : data_{data},
          picture_size_{picture_size},
          outputs_{outputs},
          epoch_{.samples = samples, .batch_size = batch_size},
          seed_{seed} {}

    Index sample_count() const { return epoch_.samples; }
    Index batch_count() const { return epoch_.count(); }

    /// The batches of an epoch of training, divided as EpochBatches says, from batch `first` on.
    Batches batches(Index epoch, Index first = 0) const {
        std::vector<BatchRange> ranges;
        for (Index index = first; index < epoch_.count(); ++index) ranges.push_back(epoch_.range(index));
        return {*this, epoch_order(seed_, epoch, epoch_.samples), std::move(ranges)};
    }

    /// All samples in their order; the last batch may be smaller.
    Batches batches() const {
        std::vector<Index> order;
        std::vector<BatchRange> ranges;
        for (Index sample = 0; sample < epoch_.samples; ++sample) order.push_back(sample);
        for (Index begin = 0; begin < epoch_.samples; begin += epoch_.batch_size)
            ranges.push_back({begin, std::min(begin + epoch_.batch_size, epoch_.samples)});
        return {*this, std::move(order), std::move(ranges)};
    }

private:
    const ArrayData& data_;
    Index picture_size_, outputs_;
    EpochBatches epoch_;
    std::uint64_t seed_;
};

inline ArrayLoader ArrayData::loader(Shape image, Index outputs, Index batch_size, std::uint64_t seed) const {
    const Index count =
        picture_count(std::max(floats_.size(), bytes_.size()), image.height, image.width, image.channels);
    if (count == 0) throw Error("the data have no pictures; give at least one");
    const auto require = [&](const char* what, std::size_t found, Index width) {
        if (found != 0 && found != static_cast<std::size_t>(count * width))
            throw Error("there are " + std::to_string(found) + ' ' + what + " for " + std::to_string(count) +
                        " pictures of " + std::string{shape_text(image).view()} + "; give " +
                        std::to_string(count * width));
    };
    require("labels", labels_.size(), 1);
    require("target values", targets_.size(), outputs);
    require("teacher logits", teacher_logits_.size(), outputs);
    for (std::size_t index = 0; index < labels_.size(); ++index)
        if (labels_[index] >= outputs || (labels_[index] < 0 && teacher_logits_.empty()))
            throw_label(index, labels_[index], outputs);
    return {*this, count, element_count(image), outputs, batch_size, seed};
}

/// The most likely class of each picture, [count][height][width][channels] as in ArrayData, by a trainer or model.
template <class Trained, std::ranges::range Pixels>
std::vector<int> predict(Trained& trained, const Pixels& pixels) {
    return predict(trained, ArrayData{pixels});
}

}  // namespace bantam
