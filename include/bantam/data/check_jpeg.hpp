// SPDX-License-Identifier: MIT
// Checks a JPEG file (ITU-T T.81) down to the last Huffman code, without decoding a pixel. The decoder fills what a
// file lacks from its memory; here such files are found first.
#pragma once

#include <bantam/data/picture_bytes.hpp>
#include <bantam/data/picture_problem.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace bantam::detail {

/// A Huffman table that finds a symbol and the length of its code.
class HuffmanTable {
public:
    struct Code {
        std::uint8_t length = 0;  // 0: there is no such code
        std::uint8_t symbol = 0;
        // For the coefficients of a sequential block:
        std::uint8_t total = 0;          // bits of the code and of the coefficient behind it
        std::uint8_t advance = no_code;  // coefficients until the next code
    };
    static constexpr std::uint8_t end_of_block = 128;
    static constexpr std::uint8_t no_code = 255;

    bool is_defined() const { return defined_; }

    /// `counts`: codes of length 1 to 16; `symbols`: in order of their codes. False where the codes do not fit.
    bool define(Bytes counts, Bytes symbols) {
        fast_.fill({});
        std::copy(symbols.begin(), symbols.end(), symbols_.begin());
        std::uint32_t code = 0;
        std::size_t index = 0;
        for (std::uint32_t length = 1; length <= longest_code; ++length, code <<= 1) {
            const std::uint32_t count = counts[length - 1];
            if (code + count > std::uint32_t{1} << length) return false;
            first_index_[length] = static_cast<std::int32_t>(index) - static_cast<std::int32_t>(code);
            for (std::uint32_t member = 0; member < count; ++member, ++code, ++index) {
                if (length > fast_bits) continue;
                std::fill_n(fast_.begin() + (code << (fast_bits - length)), std::size_t{1} << (fast_bits - length),
                            made_code(length, symbols[index]));
            }
            end_[length] = code << (longest_code - length);
        }
        defined_ = true;
        return true;
    }

    /// The code at the upper end of 64 bits.
    Code find(std::uint64_t bits) const {
        const Code fast = fast_[bits >> (64 - fast_bits)];
        return fast.length != 0 ? fast : find_long(static_cast<std::uint32_t>(bits >> 48));
    }

    bool has_symbol_above(std::uint8_t limit, std::size_t count) const {
        return std::any_of(symbols_.begin(), symbols_.begin() + static_cast<std::ptrdiff_t>(count),
                           [&](std::uint8_t symbol) { return symbol > limit; });
    }

private:
    static constexpr std::uint32_t longest_code = 16;
    static constexpr std::uint32_t fast_bits = 9;

    static Code made_code(std::uint32_t length, std::uint8_t symbol) {
        const std::uint32_t size = symbol & 15;
        const std::uint32_t run = symbol >> 4;
        const bool ends = size == 0 && run != 15;
        return {static_cast<std::uint8_t>(length), symbol, static_cast<std::uint8_t>(length + size),
                ends ? end_of_block : static_cast<std::uint8_t>(run + 1)};
    }

    Code find_long(std::uint32_t bits) const {
        for (std::uint32_t length = fast_bits + 1; length <= longest_code; ++length)
            if (bits < end_[length])
                return made_code(
                    length, symbols_[static_cast<std::size_t>(
                                first_index_[length] + static_cast<std::int32_t>(bits >> (longest_code - length)))]);
        return {};
    }

    bool defined_ = false;
    std::array<Code, std::size_t{1} << fast_bits> fast_{};
    std::array<std::uint8_t, 256> symbols_{};
    std::array<std::int32_t, longest_code + 1> first_index_{};
    std::array<std::uint32_t, longest_code + 1> end_{};
};

/// The bits of entropy-coded data up to the next marker. Zeros follow them; whoever takes one has overrun the data.
class JpegBits {
public:
    JpegBits(Bytes bytes, std::size_t position)
        : begin_{bytes.data() + position}, at_{begin_}, end_{bytes.data() + bytes.size()} {}

    /// At least 32 bits, or all that are left, at the upper end of the result.
    std::uint64_t peek() {
        if (count_ >= 32) return bits_;
        if (end_ - at_ >= 8) {
            const std::uint64_t next = load(at_);
            const std::uint64_t inverse = ~next;
            const bool has_ff = ((inverse - 0x0101010101010101U) & next & 0x8080808080808080U) != 0;
            if (!has_ff && count_ >= 0) {
                bits_ |= next >> count_;
                at_ += (63 - count_) / 8;
                count_ |= 56;
                return bits_;
            }
        }
        // By way of a copy, so that a reader that is a local variable can stay in registers.
        JpegBits copy = *this;
        copy.refill_by_byte();
        *this = copy;
        return bits_;
    }
    void skip(int count) {
        bits_ <<= count;
        count_ -= count;
    }
    std::uint32_t take(int count) {
        if (count == 0) return 0;
        const std::uint64_t bits = peek() >> (64 - count);
        skip(count);
        return static_cast<std::uint32_t>(bits);
    }
    bool overrun() const { return count_ < 0; }

    /// The number of bytes in the file of which a bit was taken.
    std::size_t used() const {
        const int unused = count_ / 8;
        if (unused == 0) return static_cast<std::size_t>(at_ - begin_);
        std::ptrdiff_t loaded = 0;
        for (const std::uint8_t* byte = begin_; byte < at_; ++loaded) byte = behind(byte);
        const std::uint8_t* byte = begin_;
        for (std::ptrdiff_t index = 0; index + unused < loaded; ++index) byte = behind(byte);
        return static_cast<std::size_t>(byte - begin_);
    }

private:
    static std::uint64_t load(const std::uint8_t* byte) {
        std::uint64_t value = 0;
        std::memcpy(&value, byte, sizeof value);
        if constexpr (std::endian::native == std::endian::little) {
            value = (value & 0x00ff00ff00ff00ffU) << 8 | (value >> 8 & 0x00ff00ff00ff00ffU);
            value = (value & 0x0000ffff0000ffffU) << 16 | (value >> 16 & 0x0000ffff0000ffffU);
            value = value << 32 | value >> 32;
        }
        return value;
    }

    // 0xff 0x00 stands for the byte 0xff; more 0xff before the 0x00 are filling.
    static const std::uint8_t* behind(const std::uint8_t* byte) {
        if (*byte++ != 0xff) return byte;
        while (*byte == 0xff) ++byte;
        return byte + 1;
    }

    void refill_by_byte() {
        while (count_ >= 0 && count_ <= 56 && at_ < end_) {
            if (*at_ == 0xff) {
                const std::uint8_t* const next =
                    std::find_if(at_, end_, [](std::uint8_t byte) { return byte != 0xff; });
                if (next == end_ || *next != 0) return;  // a marker or the end of the file
            }
            bits_ |= std::uint64_t{*at_} << (56 - count_);
            count_ += 8;
            at_ = behind(at_);
        }
    }

    const std::uint8_t* begin_;
    const std::uint8_t* at_;
    const std::uint8_t* end_;
    std::uint64_t bits_ = 0;
    int count_ = 0;
};

/// One pass over a JPEG file. Pixels stay undecoded; every code is read.
class JpegCheck {
public:
    JpegCheck(Bytes bytes, const PictureLimits& limits) : bytes_{bytes}, limits_{limits} {}

    CheckedPicture run() {
        result_.plain.reserve(bytes_.size() + 64);
        append(result_.plain, marker_bytes<0xd8>);
        result_.problem = read_segments();
        if (result_.problem == PictureProblem::none)
            append(result_.plain, marker_bytes<0xd9>);
        else
            result_.plain.clear();
        return std::move(result_);
    }

private:
    static constexpr std::size_t table_count = 4;
    // Cameras write one scan and progressive encoders about ten. The work a scan asks for is bounded below, too.
    static constexpr int most_scans = 200;
    static constexpr int block_size = 64;
    static constexpr std::uint64_t most_passes_per_coefficient = 16;

    template <std::uint8_t M>
    static constexpr std::array<std::uint8_t, 2> marker_bytes{0xff, M};

    struct Component {
        std::uint8_t id = 0;
        std::uint32_t horizontal = 1;
        std::uint32_t vertical = 1;
        std::uint8_t quantization = 0;
        std::uint64_t columns = 0;  // of blocks, where it is alone in a scan
        std::uint64_t rows = 0;
        bool has_dc = false;
        std::int32_t dc = 0;                 // of the block before
        std::vector<std::uint64_t> nonzero;  // progressive: per block, bit k is set where coefficient k is not zero
    };
    struct ScanComponent {
        Component* component = nullptr;
        const HuffmanTable* dc = nullptr;
        const HuffmanTable* ac = nullptr;
    };
    struct Scan {
        std::array<ScanComponent, 4> components{};
        std::size_t count = 0;
        int first = 0;  // coefficients first to last
        int last = block_size - 1;
        bool refines = false;
    };

    PictureProblem read_segments() {
        std::size_t scan_end = 0;
        for (std::size_t position = 2;;) {
            const std::size_t marker_position = next_marker(position);
            if (marker_position >= bytes_.size()) {
                // The data of a whole picture followed by something else than an end marker is what some phones
                // write. A file that ends with its data is cut.
                const bool followed = scan_end != 0 && bytes_.size() - scan_end > 2;
                return followed && !progressive_ && is_complete() ? PictureProblem::none : PictureProblem::truncated;
            }
            const std::uint8_t marker = bytes_[marker_position];
            position = marker_position + 1;
            const bool without_length = marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7);
            // A code for private use: in front of the data, other readers find no picture behind it.
            if (marker == 0x01 && scans_ == 0) return PictureProblem::damaged;
            if (without_length) continue;
            if (marker == 0xd9) return is_complete() ? PictureProblem::none : PictureProblem::damaged;
            if (position + 2 > bytes_.size()) return PictureProblem::truncated;
            const std::size_t length = big_endian(bytes_, position, 2);
            if (length < 2) return PictureProblem::damaged;
            if (position + length > bytes_.size()) return PictureProblem::truncated;
            const Bytes content = bytes_.subspan(position + 2, length - 2);
            position += length;
            if (marker == 0xda) {
                const PictureProblem problem = read_scan(content, position);
                if (problem != PictureProblem::none) return problem;
                scan_end = position;
            } else if (const PictureProblem problem = read_segment(marker, content); problem != PictureProblem::none) {
                return problem;
            }
        }
    }

    // The position of the byte behind 0xff; bytes before a marker that belong to no segment are skipped.
    std::size_t next_marker(std::size_t position) const {
        while (position < bytes_.size()) {
            const void* const found = std::memchr(bytes_.data() + position, 0xff, bytes_.size() - position);
            if (found == nullptr) break;
            position = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - bytes_.data());
            while (position < bytes_.size() && bytes_[position] == 0xff) ++position;
            if (position < bytes_.size() && bytes_[position] != 0) return position;
        }
        return bytes_.size();
    }

    PictureProblem read_segment(std::uint8_t marker, Bytes content) {
        switch (marker) {
            case 0xc4:
                return copied_if(read_huffman_tables(content), marker, content);
            case 0xdb:
                return copied_if(read_quantization_tables(content), marker, content);
            case 0xdd:
                if (content.size() != 2) return PictureProblem::damaged;
                restart_interval_ = big_endian(content, 0, 2);
                return copied_if(true, marker, content);
            case 0xcc:
            case 0xdc:
                return PictureProblem::none;  // without meaning for the frames that are read here
            default:
                break;
        }
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc8) return read_frame(marker, content);
        const bool application = marker >= 0xe0 && marker <= 0xef;
        if (!application && marker != 0xfe) return PictureProblem::damaged;
        // One of these that was cut may have named another color space.
        constexpr std::size_t least_color_segment = 7;
        const bool names_colors =
            (marker == 0xe0 && starts_with(content, "JFIF")) || (marker == 0xee && starts_with(content, "Adobe"));
        if (names_colors && content.size() < least_color_segment) return PictureProblem::damaged;
        if (marker == 0xe0 && content.size() >= 12 && starts_with(content, std::string_view{"JFIF\0", 5})) jfif_ = true;
        if (marker == 0xee && content.size() >= 12 && starts_with(content, "Adobe")) adobe_transform_ = content[11];
        if (marker == 0xe1 && starts_with(content, std::string_view{"Exif\0\0", 6}) && !exif_) {
            exif_ = true;
            result_.orientation = exif_orientation(content.subspan(6));
        }
        return PictureProblem::none;
    }

    PictureProblem copied_if(bool sound, std::uint8_t marker, Bytes content) {
        if (!sound) return PictureProblem::damaged;
        append_segment(marker, content);
        return PictureProblem::none;
    }

    void append_segment(std::uint8_t marker, Bytes content) {
        result_.plain.push_back(0xff);
        result_.plain.push_back(marker);
        append_big_endian(result_.plain, content.size() + 2, 2);
        append(result_.plain, content);
    }

    bool read_quantization_tables(Bytes content) {
        while (!content.empty()) {
            const std::size_t precision = content[0] >> 4;
            const std::size_t table = content[0] & 15;
            const std::size_t size = 1 + block_size * (precision + 1);
            if (precision > 1 || table >= table_count || content.size() < size) return false;
            quantization_defined_[table] = true;
            content = content.subspan(size);
        }
        return true;
    }

    bool read_huffman_tables(Bytes content) {
        constexpr std::size_t lengths = 16;
        while (!content.empty()) {
            if (content.size() < 1 + lengths) return false;
            const std::size_t kind = content[0] >> 4;
            const std::size_t table = content[0] & 15;
            const Bytes counts = content.subspan(1, lengths);
            std::size_t codes = 0;
            for (const std::uint8_t count : counts) codes += count;
            if (kind > 1 || table >= table_count || codes > 256 || content.size() < 1 + lengths + codes) return false;
            HuffmanTable& target = (kind == 0 ? dc_tables_ : ac_tables_)[table];
            if (!target.define(counts, content.subspan(1 + lengths, codes))) return false;
            constexpr std::uint8_t most_dc_bits = 15;
            if (kind == 0 && target.has_symbol_above(most_dc_bits, codes)) return false;
            content = content.subspan(1 + lengths + codes);
        }
        return true;
    }

    PictureProblem read_frame(std::uint8_t marker, Bytes content) {
        if (!components_.empty()) return PictureProblem::damaged;
        if (content.size() < 6) return PictureProblem::damaged;
        const std::uint64_t height = big_endian(content, 1, 2);
        const std::uint64_t width = big_endian(content, 3, 2);
        const std::size_t count = content[5];
        if (!limits_.allow(height, width)) return PictureProblem::too_large;
        if (count == 4) return PictureProblem::cmyk;
        const bool eight_bit = content[0] == 8;
        if (marker > 0xc2 || !eight_bit || (count != 1 && count != 3)) return PictureProblem::unsupported;
        if (height == 0 || width == 0 || content.size() != 6 + 3 * count) return PictureProblem::damaged;
        result_.height = height;
        result_.width = width;
        progressive_ = marker == 0xc2;

        components_.resize(count);
        for (std::size_t index = 0; index < count; ++index) {
            Component& component = components_[index];
            component.id = content[6 + 3 * index];
            component.horizontal = content[7 + 3 * index] >> 4;
            component.vertical = content[7 + 3 * index] & 15;
            component.quantization = content[8 + 3 * index];
            const bool sound = component.horizontal >= 1 && component.horizontal <= 4 && component.vertical >= 1 &&
                               component.vertical <= 4 && component.quantization < table_count;
            if (!sound) return PictureProblem::damaged;
            most_horizontal_ = std::max(most_horizontal_, component.horizontal);
            most_vertical_ = std::max(most_vertical_, component.vertical);
        }
        const auto up = [](std::uint64_t value, std::uint64_t divisor) { return (value + divisor - 1) / divisor; };
        for (Component& component : components_) {
            // The decoder enlarges components by whole numbers only.
            if (most_horizontal_ % component.horizontal != 0 || most_vertical_ % component.vertical != 0)
                return PictureProblem::unsupported;
            component.columns = up(up(width * component.horizontal, most_horizontal_), 8);
            component.rows = up(up(height * component.vertical, most_vertical_), 8);
            blocks_ += component.columns * component.rows;
        }
        // A block takes a bit at the least, so memory is in proportion to the file before any is allocated.
        if (blocks_ > 8 * bytes_.size()) return PictureProblem::truncated;
        unit_columns_ = up(width, std::uint64_t{8} * most_horizontal_);
        unit_rows_ = up(height, std::uint64_t{8} * most_vertical_);

        append_color_transform();
        std::vector<std::uint8_t> plain{content.begin(), content.end()};
        for (std::size_t index = 0; index < count; ++index) plain[6 + 3 * index] = static_cast<std::uint8_t>(index + 1);
        append_segment(marker, plain);
        return PictureProblem::none;
    }

    // States the color space with an Adobe segment, as libjpeg infers it.
    void append_color_transform() {
        if (components_.size() != 3) return;
        const bool named_rgb = components_[0].id == 'R' && components_[1].id == 'G' && components_[2].id == 'B';
        const bool is_rgb = !jfif_ && (adobe_transform_ >= 0 ? adobe_transform_ == 0 : named_rgb);
        std::array<std::uint8_t, 12> content{'A', 'd', 'o', 'b', 'e', 0, 100};
        content[11] = is_rgb ? 0 : 1;
        append_segment(0xee, content);
    }

    // `position` is that of the scan's data, then that behind them.
    PictureProblem read_scan(Bytes content, std::size_t& position) {
        Scan scan;
        if (components_.empty() || !read_scan_header(content, scan)) return PictureProblem::damaged;
        if (++scans_ > most_scans) return PictureProblem::damaged;
        const auto band = static_cast<std::uint64_t>(scan.last - scan.first + 1);
        for (std::size_t index = 0; index < scan.count; ++index)
            passes_ += band * scan.components[index].component->columns * scan.components[index].component->rows;
        if (passes_ > most_passes_per_coefficient * block_size * blocks_) return PictureProblem::damaged;

        const Component& alone = *scan.components[0].component;
        const std::uint64_t columns = scan.count == 1 ? alone.columns : unit_columns_;
        const std::uint64_t units = columns * (scan.count == 1 ? alone.rows : unit_rows_);
        for (std::uint64_t unit = 0, interval = 0; unit < units; ++interval) {
            if (interval > 0) {
                const std::size_t marker = next_marker(position);
                if (marker >= bytes_.size()) return PictureProblem::truncated;
                const std::uint8_t expected = static_cast<std::uint8_t>(0xd0 + (interval - 1) % 8);
                const bool restart = bytes_[marker] >= 0xd0 && bytes_[marker] <= 0xd7;
                if (bytes_[marker] != expected) return restart ? PictureProblem::damaged : PictureProblem::truncated;
                position = marker + 1;
                result_.plain.push_back(0xff);
                result_.plain.push_back(expected);
            }
            const std::uint64_t end = restart_interval_ == 0 ? units : std::min(units, unit + restart_interval_);
            JpegBits bits{bytes_, position};
            end_of_band_run_ = 0;
            for (Component& component : components_) component.dc = 0;
            for (; unit < end; ++unit) {
                const bool sound = read_unit(bits, scan, unit);
                if (bits.overrun()) return PictureProblem::truncated;
                if (!sound) return PictureProblem::damaged;
            }
            append(result_.plain, bytes_.subspan(position, bits.used()));
            position += bits.used();
        }
        for (std::size_t index = 0; index < scan.count; ++index)
            scan.components[index].component->has_dc |= scan.first == 0 && !scan.refines;
        return PictureProblem::none;
    }

    bool read_scan_header(Bytes content, Scan& scan) {
        if (content.empty()) return false;
        scan.count = content[0];
        if (scan.count < 1 || scan.count > components_.size() || content.size() != 4 + 2 * scan.count) return false;
        const Bytes spectrum = content.subspan(1 + 2 * scan.count, 3);
        if (progressive_) {
            scan.first = spectrum[0];
            scan.last = spectrum[1];
            const int high = spectrum[2] >> 4;
            const int low = spectrum[2] & 15;
            constexpr int most_shift = 13;
            scan.refines = high != 0;
            const bool band =
                scan.first == 0 ? scan.last == 0 : scan.count == 1 && scan.first <= scan.last && scan.last < block_size;
            if (!band || low > most_shift || high > most_shift || (scan.refines && low != high - 1)) return false;
        }
        std::array<std::uint8_t, 15> plain{static_cast<std::uint8_t>(scan.count)};
        std::uint32_t blocks_in_unit = 0;
        for (std::size_t index = 0; index < scan.count; ++index) {
            const std::uint8_t id = content[1 + 2 * index];
            const std::uint8_t tables = content[2 + 2 * index];
            const auto found = std::find_if(components_.begin(), components_.end(),
                                            [&](const Component& component) { return component.id == id; });
            if (found == components_.end() || tables >> 4 >= int{table_count} || (tables & 15) >= int{table_count})
                return false;
            for (std::size_t before = 0; before < index; ++before)
                if (scan.components[before].component == &*found) return false;
            scan.components[index] = {&*found, &dc_tables_[tables >> 4], &ac_tables_[tables & 15]};
            const bool needs_dc = scan.first == 0 && !scan.refines;
            const bool needs_ac = scan.last > 0;
            if (!quantization_defined_[found->quantization] || (needs_dc && !scan.components[index].dc->is_defined()) ||
                (needs_ac && !scan.components[index].ac->is_defined()))
                return false;
            blocks_in_unit += found->horizontal * found->vertical;
            plain[1 + 2 * index] = static_cast<std::uint8_t>(found - components_.begin() + 1);
            plain[2 + 2 * index] = tables;
        }
        constexpr std::uint32_t most_blocks_in_unit = 10;
        if (scan.count > 1 && blocks_in_unit > most_blocks_in_unit) return false;
        plain[1 + 2 * scan.count] = static_cast<std::uint8_t>(scan.first);
        plain[2 + 2 * scan.count] = static_cast<std::uint8_t>(scan.last);
        plain[3 + 2 * scan.count] = progressive_ ? spectrum[2] : std::uint8_t{0};
        append_segment(0xda, Bytes{plain}.first(4 + 2 * scan.count));
        return true;
    }

    bool read_unit(JpegBits& bits, const Scan& scan, std::uint64_t unit) {
        if (progressive_ && scan.first > 0) return read_band(bits, scan, unit);
        for (std::size_t index = 0; index < scan.count; ++index) {
            const ScanComponent& part = scan.components[index];
            const std::uint32_t blocks = scan.count == 1 ? 1 : part.component->horizontal * part.component->vertical;
            for (std::uint32_t block = 0; block < blocks; ++block) {
                if (progressive_ && scan.refines)
                    bits.take(1);
                else if (!read_dc(bits, *part.dc, part.component->dc))
                    return false;
                if (!progressive_ && !read_ac(bits, *part.ac)) return false;
            }
        }
        return true;
    }

    // The value stays within 16 bits: the decoder's arithmetic overflows beyond, which no encoder needs.
    static bool read_dc(JpegBits& bits, const HuffmanTable& table, std::int32_t& dc) {
        const HuffmanTable::Code code = table.find(bits.peek());
        if (code.length == 0) return false;
        bits.skip(code.length);
        if (code.symbol != 0) {
            const auto value = static_cast<std::int32_t>(bits.take(code.symbol));
            const bool negative = value >> (code.symbol - 1) == 0;
            dc += negative ? value - (std::int32_t{1} << code.symbol) + 1 : value;
        }
        return dc == static_cast<std::int16_t>(dc);
    }

    // The coefficients 1 to 63 of a sequential block.
    static bool read_ac(JpegBits& bits, const HuffmanTable& table) {
        JpegBits local = bits;
        int coefficient = 1;
        while (coefficient < block_size) {
            const HuffmanTable::Code code = table.find(local.peek());
            local.skip(code.total);
            coefficient += code.advance;
        }
        bits = local;
        return coefficient == block_size ||
               (coefficient > HuffmanTable::end_of_block && coefficient < HuffmanTable::no_code);
    }

    // One block of a progressive scan of the coefficients first to last, of one component.
    bool read_band(JpegBits& bits, const Scan& scan, std::uint64_t block) {
        Component& component = *scan.components[0].component;
        if (component.nonzero.empty()) component.nonzero.resize(component.columns * component.rows);
        std::uint64_t& nonzero = component.nonzero[block];
        const HuffmanTable& table = *scan.components[0].ac;
        int coefficient = scan.first;
        while (end_of_band_run_ == 0 && coefficient <= scan.last) {
            const HuffmanTable::Code code = table.find(bits.peek());
            if (code.length == 0 || bits.overrun()) return false;
            bits.skip(code.length);
            const int size = code.symbol & 15;
            const int run = code.symbol >> 4;
            if (size == 0 && run != 15) {
                end_of_band_run_ = (std::uint32_t{1} << run) + bits.take(run);
                break;
            }
            if (scan.refines) {
                if (size > 1) return false;
                bits.skip(size);
                coefficient = skip_zeros(bits, nonzero, coefficient, scan.last, run);
            } else {
                bits.skip(size);
                coefficient += run;
            }
            if (size != 0) {
                if (coefficient > scan.last) return false;
                nonzero |= std::uint64_t{1} << coefficient;
            }
            ++coefficient;
        }
        if (end_of_band_run_ == 0) return true;
        --end_of_band_run_;
        if (scan.refines && coefficient <= scan.last) skip_zeros(bits, nonzero, coefficient, scan.last, block_size);
        return true;
    }

    // Takes the correction bit of each nonzero coefficient on the way to the zero one behind `zeros` others.
    static int skip_zeros(JpegBits& bits, std::uint64_t nonzero, int coefficient, int last, int zeros) {
        for (; coefficient <= last; ++coefficient) {
            if ((nonzero >> coefficient & 1) != 0)
                bits.take(1);
            else if (zeros-- == 0)
                break;
        }
        return coefficient;
    }

    bool is_complete() const {
        return !components_.empty() && std::all_of(components_.begin(), components_.end(),
                                                   [](const Component& component) { return component.has_dc; });
    }

    Bytes bytes_;
    PictureLimits limits_;
    CheckedPicture result_;
    std::array<bool, table_count> quantization_defined_{};
    std::array<HuffmanTable, table_count> dc_tables_;
    std::array<HuffmanTable, table_count> ac_tables_;
    std::vector<Component> components_;
    std::uint32_t most_horizontal_ = 1;
    std::uint32_t most_vertical_ = 1;
    std::uint64_t unit_columns_ = 0;
    std::uint64_t unit_rows_ = 0;
    std::uint64_t blocks_ = 0;
    std::uint64_t passes_ = 0;
    std::uint64_t restart_interval_ = 0;
    std::uint32_t end_of_band_run_ = 0;
    int scans_ = 0;
    int adobe_transform_ = -1;
    bool jfif_ = false;
    bool exif_ = false;
    bool progressive_ = false;
};

}  // namespace bantam::detail
