// SPDX-License-Identifier: MIT
// Decodes any bytes as a picture within a limit of pixels and squashes it to three sizes: what is accepted has all its
// pixels, and they are the same each time. MemorySanitizer, where it is built in, sees a pixel that was never written.
#include <bantam/data/picture.hpp>
#include <bantam/data/resize.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define BANTAM_CHECK_WRITTEN(bytes) __msan_check_mem_is_initialized((bytes).data(), (bytes).size())
#endif
#endif
#if !defined(BANTAM_CHECK_WRITTEN)
#define BANTAM_CHECK_WRITTEN(bytes) static_cast<void>(bytes)
#endif

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Small, so that a few bytes of a header do not take the time of a thousand other inputs.
    const bantam::PictureLimits limits{.pixels = 16'384, .bytes = 100'000};
    const std::span<const std::uint8_t> bytes{data, size};
    const bantam::DecodedPicture decoded = bantam::decode_picture(bytes, limits);
    const bantam::Picture& picture = decoded.picture;
    if (decoded.problem != bantam::PictureProblem::none) {
        if (!picture.rgb.empty() || picture.width != 0 || picture.height != 0) std::abort();
        return 0;
    }
    if (picture.width <= 0 || picture.height <= 0) std::abort();
    const auto pixels = static_cast<std::uint64_t>(picture.width) * static_cast<std::uint64_t>(picture.height);
    if (pixels > limits.pixels || picture.rgb.size() != 3 * pixels) std::abort();
    BANTAM_CHECK_WRITTEN(picture.rgb);
    for (const int side : {1, 8, 33}) {
        std::vector<std::uint8_t> squashed(static_cast<std::size_t>(3 * side * side));
        bantam::resize_rgb(picture.rgb.data(), picture.height, picture.width, squashed.data(), side, side);
        BANTAM_CHECK_WRITTEN(squashed);
    }
    if (bantam::decode_picture(bytes, limits).picture.rgb != picture.rgb) std::abort();
    return 0;
}
