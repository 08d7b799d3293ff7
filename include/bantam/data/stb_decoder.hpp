// SPDX-License-Identifier: MIT
// The picture decoder: a copy of stb_image (Debian: libstb-dev) of Bantam's own in namespace bantam::detail::stb, with
// internal linkage. A program may use stb_image itself, before or after this header, with its own settings. The copy is
// compiled into every translation unit that includes this header.
#pragma once

// What stb_image includes, so that these headers are not opened inside the namespace.
#include <array>
#include <cassert>
#include <climits>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace bantam::detail {

/// The memory of the decoder, one per thread. Blocks are zeroed, so that no picture can show what the memory held
/// before. Some freed ones are kept for the next picture: getting fresh pages from the system takes a third of the time
/// of a decoder that zeroes its memory.
class DecoderMemory {
public:
    DecoderMemory() = default;
    DecoderMemory(const DecoderMemory&) = delete;
    DecoderMemory& operator=(const DecoderMemory&) = delete;
    ~DecoderMemory() {
        for (Block* block : kept_) std::free(block);
    }

    static DecoderMemory& of_this_thread() {
        static thread_local DecoderMemory memory;
        return memory;
    }

    /// For the next picture, whose blocks have at most `largest_block` bytes.
    void begin(std::size_t largest_block) {
        largest_block_ = largest_block;
        exhausted_ = false;
    }
    /// Whether the system had no memory for a block of this picture.
    bool exhausted() const { return exhausted_; }

    void* allocate(std::size_t bytes) {
        if (bytes > largest_block_) return nullptr;
        for (Block*& block : kept_) {
            if (block == nullptr || block->bytes < bytes || block->bytes / 2 > bytes) continue;
            kept_bytes_ -= block->bytes;
            Block* const found = block;
            block = nullptr;
            return std::memset(found + 1, 0, bytes);
        }
        return with_size(static_cast<Block*>(std::calloc(sizeof(Block) + bytes, 1)), bytes);
    }

    void* reallocate(void* memory, std::size_t bytes) {
        if (memory == nullptr) return allocate(bytes);
        if (bytes > largest_block_) return nullptr;
        return with_size(static_cast<Block*>(std::realloc(block_of(memory), sizeof(Block) + bytes)), bytes);
    }

    void release(void* memory) {
        if (memory == nullptr) return;
        Block* const block = block_of(memory);
        if (block->bytes >= smallest_kept && kept_bytes_ + block->bytes <= most_kept_bytes)
            for (Block*& place : kept_)
                if (place == nullptr) {
                    kept_bytes_ += block->bytes;
                    place = block;
                    return;
                }
        std::free(block);
    }

private:
    /// What stands in front of a block.
    struct alignas(std::max_align_t) Block {
        std::size_t bytes;
    };
#if defined(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
    static constexpr std::size_t most_kept_bytes = 0;  // sanitizers see more in blocks that are freed
#else
    static constexpr std::size_t most_kept_bytes = std::size_t{16} << 20;
#endif
    static constexpr std::size_t smallest_kept = std::size_t{16} << 10;

    static Block* block_of(void* memory) { return static_cast<Block*>(memory) - 1; }

    void* with_size(Block* block, std::size_t bytes) {
        if (block == nullptr) {
            exhausted_ = true;
            return nullptr;
        }
        block->bytes = bytes;
        return block + 1;
    }

    std::size_t largest_block_ = 0;
    std::size_t kept_bytes_ = 0;
    std::array<Block*, 8> kept_{};
    bool exhausted_ = false;
};

}  // namespace bantam::detail

// The program's own settings of stb_image, set aside.
#pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_STATIC")
#pragma push_macro("STBIDEF")
#pragma push_macro("STBI_ASSERT")
#pragma push_macro("STBI_MALLOC")
#pragma push_macro("STBI_REALLOC")
#pragma push_macro("STBI_REALLOC_SIZED")
#pragma push_macro("STBI_FREE")
#pragma push_macro("STBI_MAX_DIMENSIONS")
#pragma push_macro("STBI_THREAD_LOCAL")
#pragma push_macro("STBI_NO_THREAD_LOCALS")
#pragma push_macro("STBI_FAILURE_USERMSG")
#pragma push_macro("STBI_NO_FAILURE_STRINGS")
#pragma push_macro("STBI_NO_SIMD")
#pragma push_macro("STBI_NO_STDIO")
#pragma push_macro("STBI_NO_LINEAR")
#pragma push_macro("STBI_NO_HDR")
#pragma push_macro("STBI_NO_ZLIB")
#pragma push_macro("STBI_SUPPORT_ZLIB")
#pragma push_macro("STBI_WINDOWS_UTF8")
#pragma push_macro("STBI_NO_BMP")
#pragma push_macro("STBI_NO_GIF")
#pragma push_macro("STBI_NO_JPEG")
#pragma push_macro("STBI_NO_PIC")
#pragma push_macro("STBI_NO_PNG")
#pragma push_macro("STBI_NO_PNM")
#pragma push_macro("STBI_NO_PSD")
#pragma push_macro("STBI_NO_TGA")
#pragma push_macro("STBI_ONLY_BMP")
#pragma push_macro("STBI_ONLY_GIF")
#pragma push_macro("STBI_ONLY_HDR")
#pragma push_macro("STBI_ONLY_JPEG")
#pragma push_macro("STBI_ONLY_PIC")
#pragma push_macro("STBI_ONLY_PNG")
#pragma push_macro("STBI_ONLY_PNM")
#pragma push_macro("STBI_ONLY_PSD")
#pragma push_macro("STBI_ONLY_TGA")
#pragma push_macro("stbi__err")
#undef STBI_INCLUDE_STB_IMAGE_H
#undef STB_IMAGE_IMPLEMENTATION
#undef STB_IMAGE_STATIC
#undef STBIDEF
#undef STBI_ASSERT
#undef STBI_MALLOC
#undef STBI_REALLOC
#undef STBI_REALLOC_SIZED
#undef STBI_FREE
#undef STBI_MAX_DIMENSIONS
#undef STBI_THREAD_LOCAL
#undef STBI_NO_THREAD_LOCALS
#undef STBI_FAILURE_USERMSG
#undef STBI_NO_FAILURE_STRINGS
#undef STBI_NO_SIMD
#undef STBI_NO_STDIO
#undef STBI_NO_LINEAR
#undef STBI_NO_HDR
#undef STBI_NO_ZLIB
#undef STBI_SUPPORT_ZLIB
#undef STBI_WINDOWS_UTF8
#undef STBI_NO_BMP
#undef STBI_NO_GIF
#undef STBI_NO_JPEG
#undef STBI_NO_PIC
#undef STBI_NO_PNG
#undef STBI_NO_PNM
#undef STBI_NO_PSD
#undef STBI_NO_TGA
#undef STBI_ONLY_BMP
#undef STBI_ONLY_GIF
#undef STBI_ONLY_HDR
#undef STBI_ONLY_JPEG
#undef STBI_ONLY_PIC
#undef STBI_ONLY_PNG
#undef STBI_ONLY_PNM
#undef STBI_ONLY_PSD
#undef STBI_ONLY_TGA
#undef stbi__err

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_ASSERT(condition) static_cast<void>(condition)
#define STBI_MALLOC(bytes) ::bantam::detail::DecoderMemory::of_this_thread().allocate(bytes)
#define STBI_REALLOC(memory, bytes) ::bantam::detail::DecoderMemory::of_this_thread().reallocate(memory, bytes)
#define STBI_FREE(memory) ::bantam::detail::DecoderMemory::of_this_thread().release(memory)
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif
namespace bantam::detail::stb {
#include <stb/stb_image.h>
}  // namespace bantam::detail::stb
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
#pragma pop_macro("STB_IMAGE_STATIC")
#pragma pop_macro("STBIDEF")
#pragma pop_macro("STBI_ASSERT")
#pragma pop_macro("STBI_MALLOC")
#pragma pop_macro("STBI_REALLOC")
#pragma pop_macro("STBI_REALLOC_SIZED")
#pragma pop_macro("STBI_FREE")
#pragma pop_macro("STBI_MAX_DIMENSIONS")
#pragma pop_macro("STBI_THREAD_LOCAL")
#pragma pop_macro("STBI_NO_THREAD_LOCALS")
#pragma pop_macro("STBI_FAILURE_USERMSG")
#pragma pop_macro("STBI_NO_FAILURE_STRINGS")
#pragma pop_macro("STBI_NO_SIMD")
#pragma pop_macro("STBI_NO_STDIO")
#pragma pop_macro("STBI_NO_LINEAR")
#pragma pop_macro("STBI_NO_HDR")
#pragma pop_macro("STBI_NO_ZLIB")
#pragma pop_macro("STBI_SUPPORT_ZLIB")
#pragma pop_macro("STBI_WINDOWS_UTF8")
#pragma pop_macro("STBI_NO_BMP")
#pragma pop_macro("STBI_NO_GIF")
#pragma pop_macro("STBI_NO_JPEG")
#pragma pop_macro("STBI_NO_PIC")
#pragma pop_macro("STBI_NO_PNG")
#pragma pop_macro("STBI_NO_PNM")
#pragma pop_macro("STBI_NO_PSD")
#pragma pop_macro("STBI_NO_TGA")
#pragma pop_macro("STBI_ONLY_BMP")
#pragma pop_macro("STBI_ONLY_GIF")
#pragma pop_macro("STBI_ONLY_HDR")
#pragma pop_macro("STBI_ONLY_JPEG")
#pragma pop_macro("STBI_ONLY_PIC")
#pragma pop_macro("STBI_ONLY_PNG")
#pragma pop_macro("STBI_ONLY_PNM")
#pragma pop_macro("STBI_ONLY_PSD")
#pragma pop_macro("STBI_ONLY_TGA")
#pragma pop_macro("stbi__err")
