// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE data_picture_store
#include "bantam/data/picture_store.hpp"

#include "data/sample_pictures.hpp"
#include "io/tar_writer.hpp"
#include "io/temporary_folder.hpp"
#include "train/thread_communicator.hpp"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <thread>

namespace {

using namespace bantam_test;
using bantam::PictureOptions;
using bantam::PictureProblem;
using bantam::PictureStore;

/// Eleven files, of which every third is bad.
std::vector<std::string> write_mixture(const TemporaryFolder& folder) {
    std::vector<std::string> paths;
    for (int index = 0; index < 11; ++index) {
        const std::string name = "p" + std::to_string(100 + index) + ".jpg";
        const int size = 20 + 7 * index;
        const Bytes png = png_of(smooth_pixels(size, 30, 3, std::uint64_t(index)), size, 30, 3);
        if (index == 2)
            folder.write(name, "");
        else if (index == 5)
            folder.write(name, first_bytes(png, png.size() - 20));
        else if (index == 8)
            folder.write(name, "no picture at all");
        else
            folder.write(name, png);
        paths.push_back(name);
    }
    return paths;
}

bool same_pixels(const PictureStore& a, const PictureStore& b) {
    bool same = a.size() == b.size() && a.picture_bytes() == b.picture_bytes();
    for (std::size_t i = 0; same && i < a.size(); ++i)
        same = std::equal(a.pixels(i), a.pixels(i) + a.picture_bytes(), b.pixels(i));
    return same;
}

BOOST_AUTO_TEST_CASE(bad_pictures_are_left_out_counted_and_named) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureStore store{folder.path(), paths, {.stored_size = 16}};
    BOOST_TEST(store.size() == 8U);
    BOOST_TEST(store.report().good() == 8U);
    BOOST_TEST(store.source_index(2) == 3U);
    BOOST_TEST(store.paths()[2] == "p103.jpg");
    BOOST_TEST(store.report().text() ==
               "3 of 11 pictures left out: 1 is empty, 1 is not a JPEG, PNG or BMP picture, "
               "1 is truncated (p102.jpg is empty; p105.jpg is truncated; p108.jpg is not a JPEG, "
               "PNG or BMP picture)");
    const auto alone = bantam::decode_picture(folder.path() / "p103.jpg").picture;
    Bytes expected(16 * 16 * 3);
    bantam::resize_rgb(alone.rgb.data(), alone.height, alone.width, expected.data(), 16, 16);
    BOOST_TEST(Bytes(store.pixels(2), store.pixels(3)) == expected);
}

BOOST_AUTO_TEST_CASE(ranks_decode_a_part_each_and_hold_the_pictures_of_one_process) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureOptions options{.stored_size = 16, .threads = 2, .hash_files = true};
    const PictureStore one{folder.path(), paths, options};
    for (const int count : {2, 3, 12}) {
        for (const bool share_memory : {true, false}) {
            std::vector<int> same(static_cast<std::size_t>(count));
            std::vector<std::size_t> decoded(static_cast<std::size_t>(count)), received(decoded);
            run_ranks(count, [&](ThreadCommunicator& communicator) {
                const auto rank = static_cast<std::size_t>(communicator.rank().index);
                PictureOptions of_rank = options;
                of_rank.ranks = &communicator;
                of_rank.share_memory = share_memory;
                of_rank.progress = [&](std::size_t done, std::size_t all) { decoded[rank] = all == 11 ? done : 0; };
                const PictureStore store{folder.path(), paths, of_rank};
                same[rank] = store.paths() == one.paths() && store.hashes() == one.hashes() &&
                             store.report().text() == one.report().text() &&
                             store.source_index(2) == one.source_index(2) && same_pixels(store, one);
                received[rank] = communicator.bytes_received;
            });
            BOOST_TEST(same == std::vector<int>(same.size(), 1), boost::test_tools::per_element());
            BOOST_TEST(decoded == std::vector<std::size_t>(decoded.size(), 11), boost::test_tools::per_element());
            // What others have decoded arrives as a message only where each rank has memory of its own.
            BOOST_TEST((received[0] >= 5 * one.picture_bytes()) == !share_memory);
        }
    }
}

BOOST_AUTO_TEST_CASE(ranks_that_list_other_pictures_are_refused) {
    std::vector<int> refused(2);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        const auto rank = static_cast<std::size_t>(communicator.rank().index);
        const std::vector<std::string> paths(3 - rank, "a.jpg");
        try {
            bantam::detail::require_same_paths(communicator, "data", paths);
        } catch (const bantam::Error&) {
            refused[rank] = 1;
        }
    });
    BOOST_TEST(refused == (std::vector<int>{0, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(testing_pictures_are_checked_without_being_kept) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureStore store{folder.path(), paths, {.stored_size = 16}};
    for (const int threads : {1, 3}) {
        const auto report = bantam::check_pictures(folder.path(), bantam::TestSplit{paths}, {.threads = threads});
        BOOST_TEST(report.text() == store.report().text());
        BOOST_TEST(report.named.size() == 3U);
    }
}

BOOST_AUTO_TEST_CASE(all_bad_pictures_are_listed_and_the_text_names_ten) {
    const TemporaryFolder folder;
    std::vector<std::string> paths;
    for (int index = 0; index < 11; ++index) {
        paths.push_back(std::to_string(index) + ".png");
        folder.write(paths.back(), "");
        if (index < 9) continue;
        const auto report = bantam::check_pictures(folder.path(), bantam::TestSplit{paths}, {});
        BOOST_TEST(report.named.size() == paths.size());
        BOOST_TEST(report.text().ends_with(index == 9 ? "9.png is empty)" : "9.png is empty; …)"), report.text());
    }
}

BOOST_AUTO_TEST_CASE(the_result_does_not_depend_on_the_number_of_threads) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    const PictureStore one{folder.path(), paths, {.stored_size = 24, .hash_files = true}};
    for (const int threads : {2, 5, 40}) {
        const PictureStore many{folder.path(), paths, {.stored_size = 24, .threads = threads, .hash_files = true}};
        BOOST_TEST(many.paths() == one.paths());
        BOOST_TEST(many.hashes() == one.hashes());
        BOOST_TEST(many.report().text() == one.report().text());
        BOOST_TEST(same_pixels(many, one));
    }
    BOOST_TEST(one.hashes().size() == one.size());
    BOOST_TEST(one.hashes()[2] == bantam::hash_file(folder.path() / "p103.jpg"));
}

BOOST_AUTO_TEST_CASE(strict_loading_stops_at_the_first_bad_picture_by_name) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    BOOST_TEST(message_of<bantam::Error>([&] { PictureStore(folder.path(), paths, {.threads = 3, .strict = true}); }) ==
               (folder.path() / "p102.jpg").string() + ": is empty; replace or remove the file");
}

BOOST_AUTO_TEST_CASE(progress_ends_with_all_files_and_may_throw) {
    const TemporaryFolder folder;
    const auto paths = write_mixture(folder);
    std::size_t last = 0;
    PictureOptions options{.stored_size = 8, .threads = 2};
    options.progress = [&](std::size_t done, std::size_t total) {
        BOOST_TEST(done >= last);
        BOOST_TEST(total == 11U);
        last = done;
    };
    PictureStore(folder.path(), paths, options);
    BOOST_TEST(last == 11U);
    options.progress = [](std::size_t, std::size_t) { throw bantam::Error{"enough"}; };
    BOOST_TEST(message_of<bantam::Error>([&] { PictureStore(folder.path(), paths, options); }) == "enough");
}

BOOST_AUTO_TEST_CASE(labels_follow_the_pictures_that_remain) {
    const TemporaryFolder folder;
    const bantam::LabeledSplit split{write_mixture(folder), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
    const auto pictures = bantam::load_pictures(folder.path(), split, {.stored_size = 8});
    BOOST_TEST(pictures.labels == (std::vector<int>{0, 1, 3, 4, 6, 7, 9, 10}));
}

BOOST_AUTO_TEST_CASE(an_empty_list_and_an_absurd_size_are_handled) {
    const PictureStore store{"/", {}, {.threads = 4}};
    BOOST_TEST(store.size() == 0U);
    BOOST_TEST(store.report().text().empty());
    BOOST_TEST(message_of<bantam::Error>([] { PictureStore("/", {}, {.stored_size = 0}); }) ==
               "stored picture size 0 is out of range; choose 1 to 4096");
}

}  // namespace

BOOST_AUTO_TEST_CASE(pictures_in_memory_are_stored_like_decoded_files) {
    std::vector<std::uint8_t> pixels;
    for (int i = 0; i < 2 * 6 * 4 * 3; ++i) pixels.push_back(static_cast<std::uint8_t>(i * 7));
    const auto store = bantam::PictureStore::from_memory(pixels, 6, 4, {.stored_size = 5, .hash_files = true});
    BOOST_TEST(store.size() == 2U);
    BOOST_TEST(store.report().bad() == 0U);
    for (std::size_t picture = 0; picture < 2; ++picture) {
        std::vector<std::uint8_t> expected(5 * 5 * 3);
        const std::uint8_t* from = pixels.data() + picture * 6 * 4 * 3;
        bantam::resize_rgb(from, 6, 4, expected.data(), 5, 5);
        BOOST_TEST(std::equal(expected.begin(), expected.end(), store.pixels(picture)));
        BOOST_TEST(store.paths()[picture] == std::to_string(picture));
        BOOST_TEST(store.hashes()[picture] == bantam::hash_bytes(from, 6 * 4 * 3));
        BOOST_TEST(store.source_index(picture) == picture);
    }
    const auto error_of = [&](std::size_t count, int height, int stored) -> std::string {
        try {
            bantam::PictureStore::from_memory(std::span{pixels}.first(count), height, 4, {.stored_size = stored});
        } catch (const bantam::Error& error) {
            return error.what();
        }
        return "none";
    };
    BOOST_TEST(
        error_of(71, 6, 5).starts_with("there are 71 pixel values, no multiple of the 72 of a picture of 6x4x3"));
    BOOST_TEST(error_of(72, 0, 5) == "pictures in memory of 0x4 have no pixels; name their height and width");
    BOOST_TEST(error_of(72, 6, 0) == "stored picture size 0 is out of range; choose 1 to 4096");
    BOOST_TEST(error_of(0, 6, 5) == "none");
}

namespace {

using bantam::open_picture_cache;
using bantam::PictureCache;
using bantam::PictureUse;

/// A data set of the mixture's pictures: six labeled, two unlabeled, one for validation, two for testing, and its
/// cache.
struct CachedMixture {
    static constexpr int size = 16;

    TemporaryFolder folder;
    bantam::HomeworkFolders folders;
    std::filesystem::path file = folder.path() / "pictures.cache";
    PictureOptions options{.stored_size = size, .threads = 2, .hash_files = true};
    std::size_t decoded = 0;

    CachedMixture() {
        const auto paths = write_mixture(folder);
        folders.root = folder.path();
        folders.training = {{paths.begin(), paths.begin() + 6}, {0, 1, 2, 0, 1, 2}};
        folders.unlabeled = {{paths.begin() + 6, paths.begin() + 8}};
        folders.validation = {{paths[9]}, {1}};
        folders.testing = bantam::TestSplit{{paths[8], paths[10]}};
    }

    /// Opens the cache and counts what was decoded for it.
    std::shared_ptr<const PictureCache> open(const bantam::PictureCacheOptions& how = {}) {
        decoded = 0;
        PictureOptions counting = options;
        counting.progress = [this](std::size_t done, std::size_t) { decoded = done; };
        return open_picture_cache(file, folders, counting, how);
    }

    std::string refusal(const bantam::PictureCacheOptions& how = {}) {
        const std::string message = message_of<bantam::Error>([&] { open(how); });
        BOOST_TEST(message.starts_with(file.string() + ": "), message);
        return message.substr(std::min(file.string().size() + 2, message.size()));
    }

    PictureOptions with(std::shared_ptr<const PictureCache> cache) const {
        PictureOptions cached = options;
        cached.cache = std::move(cache);
        return cached;
    }

    void check_same_pictures(const std::shared_ptr<const PictureCache>& cache) const {
        const auto compare = [&](const PictureStore& cached, const PictureStore& read) {
            BOOST_TEST(cached.paths() == read.paths());
            BOOST_TEST(cached.hashes() == read.hashes());
            BOOST_TEST(cached.report().text() == read.report().text());
            for (std::size_t index = 0; index < read.size(); ++index) {
                BOOST_TEST(cached.source_index(index) == read.source_index(index));
                BOOST_TEST(std::memcmp(cached.pixels(index), read.pixels(index), read.picture_bytes()) == 0);
            }
            BOOST_TEST(cached.is_mapped());
            BOOST_TEST(!read.is_mapped());
        };
        const auto& root = folder.path();
        const auto labeled = load_pictures(root, folders.training, with(cache));
        BOOST_TEST(labeled.labels == load_pictures(root, folders.training, options).labels);
        compare(labeled.store, load_pictures(root, folders.training, options).store);
        compare(load_pictures(root, folders.unlabeled, with(cache)).store,
                load_pictures(root, folders.unlabeled, options).store);
        compare(load_pictures(root, folders.testing, with(cache)).store,
                load_pictures(root, folders.testing, options).store);
        BOOST_TEST(check_pictures(root, folders.testing, with(cache)).text() ==
                   check_pictures(root, folders.testing, options).text());
    }
};

BOOST_AUTO_TEST_CASE(a_cache_has_the_pictures_of_the_files_and_a_second_start_decodes_none) {
    CachedMixture data;
    data.check_same_pictures(data.open());
    BOOST_TEST(data.decoded == 11U);
    const std::string written = contents_of(data.file);
    data.check_same_pictures(data.open());
    BOOST_TEST(data.decoded == 0U);
    data.open({.verify = true});
    BOOST_TEST(data.decoded == 0U);
    BOOST_TEST(contents_of(data.file) == written);
    BOOST_TEST(entry_count(data.folder.path()) == 12U);  // no lock and no partial file is left
    data.options.threads = 1;
    std::filesystem::remove(data.file);
    data.open();
    BOOST_TEST(contents_of(data.file) == written);
}

BOOST_AUTO_TEST_CASE(a_cache_decodes_only_what_has_changed) {
    CachedMixture data;
    const auto older = data.open();
    // Another content and size, another time, a picture that was bad, a new one, and one that has gone.
    data.folder.write("p100.jpg", png_of(smooth_pixels(9, 9, 3, 50), 9, 9, 3));
    const auto touched = data.folder.path() / "p101.jpg";
    last_write_time(touched, last_write_time(touched) + std::chrono::seconds{2});
    data.folder.write("p102.jpg", png_of(smooth_pixels(9, 9, 3, 51), 9, 9, 3));
    data.folder.write("a_new_one.png", png_of(smooth_pixels(9, 9, 3, 52), 9, 9, 3));
    data.folders.unlabeled.paths.insert(data.folders.unlabeled.paths.begin(), "a_new_one.png");
    std::filesystem::remove(data.folder.path() / "p103.jpg");
    std::erase(data.folders.training.paths, "p103.jpg");
    data.folders.training.labels.pop_back();
    const auto newer = data.open();
    BOOST_TEST(data.decoded == 4U);
    BOOST_TEST(newer->find("p103.jpg") == nullptr);
    data.check_same_pictures(newer);
    // The older cache is still mapped as it was.
    BOOST_TEST(older->size() == 11U);
    BOOST_TEST(bantam::hash_bytes(older->pixels(3), older->picture_bytes()) ==
               bantam::hash_text(older->entry(3).pixel_hash));
}

BOOST_AUTO_TEST_CASE(a_cache_keeps_the_pictures_of_splits_that_are_not_asked_for) {
    CachedMixture data;
    const bantam::HomeworkFolders all = data.folders;
    data.folders.testing = {};
    data.open();
    BOOST_TEST(data.decoded == 9U);
    data.folders = all;
    data.folders.unlabeled = {};
    data.open();
    BOOST_TEST(data.decoded == 2U);
    data.folders = all;
    data.check_same_pictures(data.open());
    BOOST_TEST(data.decoded == 0U);
}

BOOST_AUTO_TEST_CASE(testing_pictures_of_a_cache_are_refused_for_training) {
    CachedMixture data;
    const PictureOptions cached = data.with(data.open());
    const auto& root = data.folder.path();
    const std::string start = data.file.string() + ": its picture ";
    BOOST_TEST(message_of<bantam::Error>([&] { load_pictures(root, bantam::UnlabeledSplit{{"p110.jpg"}}, cached); }) ==
               start +
                   "p110.jpg is a testing picture, for prediction only; is the data folder the one that the cache "
                   "was made of?");
    BOOST_TEST(message_of<bantam::Error>([&] {
                   load_pictures(root, bantam::LabeledSplit{{"p110.jpg"}, {0}}, cached);
               }).starts_with(start + "p110.jpg is a testing picture"));
    BOOST_TEST(message_of<bantam::Error>([&] {
                   load_pictures(root, bantam::TestSplit{{"p100.jpg"}}, cached);
               }).starts_with(start + "p100.jpg is a training picture and no testing picture"));
    BOOST_TEST(message_of<bantam::Error>([&] { PictureStore(root, {"other.jpg"}, cached); }) ==
               data.file.string() + ": lacks the picture other.jpg; open the cache with the folders that hold it");
    // A picture that moves from testing to training is decoded again; so is one that moves the other way.
    data.folders.testing = bantam::TestSplit{{"p108.jpg"}};
    data.folders.unlabeled.paths.push_back("p110.jpg");
    BOOST_TEST((data.open()->find("p110.jpg")->use == PictureUse::training));
}

BOOST_AUTO_TEST_CASE(a_cache_that_is_torn_foreign_or_of_another_size_is_refused) {
    CachedMixture data;
    data.open();
    const std::string sound = contents_of(data.file);
    const std::string remove = "; remove it, and it is made again";
    const auto refusal_of = [&](const std::string& contents) {
        data.folder.write("pictures.cache", contents);
        const std::string message = data.refusal();
        BOOST_TEST(contents_of(data.file) == contents);
        return message;
    };
    for (const std::size_t size :
         {std::size_t{5}, std::size_t{47}, std::size_t{48}, std::size_t{200}, sound.size() - 1})
        BOOST_TEST(refusal_of(sound.substr(0, size)) == "is cut off" + remove);
    BOOST_TEST(refusal_of(sound + "x") == "is longer than its header says" + remove);
    for (const std::string_view other : {"", "PK\3\4", "a file of another program that is longer than a header is"})
        BOOST_TEST(refusal_of(std::string{other}) == "is no cache of pictures; choose another name for the cache");
    std::string changed = sound;
    changed[16] = 2;
    BOOST_TEST(refusal_of(changed) == "is a cache of version 2, expected 1" + remove);
    for (const std::size_t byte :
         {std::size_t{20}, std::size_t{24}, std::size_t{40}, std::size_t{60}, std::size_t{500}}) {
        changed = sound;
        changed[byte] = static_cast<char>(changed[byte] ^ 16);
        BOOST_TEST(refusal_of(changed) == "is damaged: its header has another hash" + remove);
    }
    data.folder.write("pictures.cache", sound);
    data.options.stored_size = 20;
    BOOST_TEST(data.refusal() ==
               "holds pictures of 16x16, expected 20x20; choose another name for the cache, or remove it");
    std::filesystem::remove(data.file);
    std::filesystem::create_directory(data.file);
    BOOST_TEST(data.refusal() == "is not a regular file; name a file");
}

BOOST_AUTO_TEST_CASE(damage_without_a_trace_in_size_and_time_is_found_on_demand) {
    CachedMixture data;
    data.open();
    std::string damaged = contents_of(data.file);
    const std::size_t picture = CachedMixture::size * CachedMixture::size * 3;
    damaged[damaged.size() - 2 * picture + 7] ^= 1;  // in the last but one, p109.jpg
    data.folder.write("pictures.cache", damaged);
    data.open();
    BOOST_TEST(data.refusal({.verify = true}) ==
               "is damaged: the pixels of p109.jpg have another hash; remove it, and it is made again");
    std::filesystem::remove(data.file);
    data.open();
    // Another picture of the same size and time.
    const auto file = data.folder.path() / "p104.jpg";
    const auto time = last_write_time(file);
    Bytes changed = png_of(smooth_pixels(48, 30, 3, 4), 48, 30, 3);
    changed.back() ^= 1;  // of the last chunk's checksum
    data.folder.write("p104.jpg", changed);
    last_write_time(file, time);
    data.open();
    BOOST_TEST(data.decoded == 0U);
    const auto cache = data.open({.verify = true});
    BOOST_TEST(data.decoded == 1U);
    data.check_same_pictures(cache);
}

BOOST_AUTO_TEST_CASE(pictures_of_archives_are_read_and_cached_like_files) {
    CachedMixture data;
    const auto read = load_pictures(data.folder.path(), data.folders.training, data.options);
    std::string archives[2];
    const auto pack = [&](std::string& path, int number) {
        const std::string name = number % 2 == 0 ? "even.tar" : "odd.tar";
        const std::string contents = contents_of(data.folder.path() / path);
        archives[number % 2] += tar_file("in/" + path, contents);
        std::filesystem::remove(data.folder.path() / path);
        path = name + "/in/" + path;
    };
    int number = 0;
    for (auto* paths : {&data.folders.training.paths, &data.folders.unlabeled.paths})
        for (std::string& path : *paths) pack(path, number++);
    data.folder.write("even.tar", archives[0] + tar_end);
    data.folder.write("odd.tar", archives[1] + tar_end);

    const auto packed = load_pictures(data.folder.path(), data.folders.training, data.options);
    BOOST_TEST(packed.labels == read.labels);
    BOOST_TEST(packed.store.hashes() == read.store.hashes());
    BOOST_TEST(packed.store.report().bad() == read.store.report().bad());
    BOOST_TEST(packed.store.paths()[0] == "even.tar/in/p100.jpg");
    BOOST_TEST(same_pixels(packed.store, read.store));
    data.check_same_pictures(data.open());
    BOOST_TEST(data.decoded == 11U);
    data.open({.verify = true});
    BOOST_TEST(data.decoded == 0U);
    // An archive that has changed is decoded again, the other is not.
    data.folder.write("odd.tar", archives[1] + tar_file("more", "") + tar_end);
    data.check_same_pictures(data.open());
    BOOST_TEST(data.decoded == 4U);
    data.folders.unlabeled.paths.push_back("odd.tar/in/none.jpg");
    BOOST_TEST((data.open()->find("odd.tar/in/none.jpg")->problem == PictureProblem::unreadable));
    data.folder.write("odd.tar", archives[1]);
    BOOST_TEST(message_of<bantam::Error>([&] { data.open(); }) ==
               (data.folder.path() / "odd.tar").string() +
                   ": is cut off: it lacks the end of an archive; fetch it again");
}

BOOST_AUTO_TEST_CASE(a_cache_that_another_process_writes_is_waited_for) {
    CachedMixture data;
    std::atomic<int> waiting{0};
    std::vector<std::shared_ptr<const PictureCache>> caches(4);
    std::vector<std::size_t> decoded(caches.size(), 0);
    std::vector<std::thread> threads;
    {
        const bantam::LockFile lock{data.file.string() + ".lock", [](const std::string&) {}};
        for (std::size_t i = 0; i < caches.size(); ++i)
            threads.emplace_back([&, i] {
                PictureOptions options = data.options;
                options.progress = [&decoded, i](std::size_t done, std::size_t) { decoded[i] = done; };
                caches[i] =
                    open_picture_cache(data.file, data.folders, options, {.on_wait = [&](const std::string& owner) {
                                           if (owner.starts_with("process ")) ++waiting;
                                       }});
            });
        while (waiting < 4) std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    BOOST_TEST(std::accumulate(decoded.begin(), decoded.end(), std::size_t{0}) == 11U);
    for (const auto& cache : caches) data.check_same_pictures(cache);
}

}  // namespace
