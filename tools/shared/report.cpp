// SPDX-License-Identifier: MIT
#include "report.hpp"

#include "command_line.hpp"
#include "report_page.hpp"

#include <bantam/base/error.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/view.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/parse_number.hpp>
#include <bantam/train/losses.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string_view>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/utsname.h>
#endif

namespace bantam {

namespace {

using Json = nlohmann::json;

/// The answer that logits give.
struct Answer {
    explicit Answer(std::span<const float> logits)
        : log_probabilities(logits.size()), chosen{static_cast<int>(most_likely_class(logits))} {
        log_softmax(1.0, static_cast<Index>(logits.size()), logits.data(), log_probabilities.data());
    }
    double probability(int of) const { return std::exp(log_probabilities[static_cast<std::size_t>(of)]); }
    double confidence() const { return probability(chosen); }

    std::vector<double> log_probabilities;
    int chosen;
};

template <class Less>
std::vector<ComparedAnswer> first_of(std::vector<ComparedAnswer> answers, Less less) {
    const std::size_t count = std::min(answers.size(), ValidationAnswers::shown);
    std::partial_sort(answers.begin(), answers.begin() + static_cast<std::ptrdiff_t>(count), answers.end(), less);
    answers.resize(count);
    return answers;
}

std::string base64(std::span<const std::uint8_t> bytes) {
    static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t start = 0; start < bytes.size(); start += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - start);
        std::uint32_t group = 0;
        for (std::size_t index = 0; index < 3; ++index)
            group = group << 8 | (index < count ? bytes[start + index] : std::uint32_t{0});
        for (std::size_t index = 0; index < 4; ++index)
            text += index <= count ? digits[group >> (18 - 6 * index) & 63] : '=';
    }
    return text;
}

/// An RGB picture as the data URI of a JPEG file; empty where memory does not suffice.
std::string data_uri(const std::uint8_t* rgb, int height, int width) {
    constexpr int quality = 90;
    std::vector<std::uint8_t> bytes;
    const auto append = [](void* to, void* data, int size) {
        const auto* const from = static_cast<const std::uint8_t*>(data);
        static_cast<std::vector<std::uint8_t>*>(to)->insert(static_cast<std::vector<std::uint8_t>*>(to)->end(), from,
                                                            from + size);
    };
    if (stbi_write_jpg_to_func(append, &bytes, width, height, 3, rgb, quality) == 0) return {};
    return "data:image/jpeg;base64," + base64(bytes);
}

/// What a plan shows of a loader's pictures. Its colors map bytes to bytes.
std::string plan_uri(const TrainingLoader& loader, const SamplePlan& plan) {
    const Shape size = loader.input();
    std::vector<float> values(static_cast<std::size_t>(element_count(size)));
    cut_sample([&](Index sample) { return loader.pixels(sample); }, loader.stored_size(), plan, size, values.data());
    std::vector<std::uint8_t> rgb;
    rgb.reserve(values.size());
    for (const float value : values)
        rgb.push_back(static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F))));
    return data_uri(rgb.data(), static_cast<int>(size.height), static_cast<int>(size.width));
}

/// Maps what a network sees back to bytes.
ColorTransform displayed(const Normalization& normalization) {
    ColorTransform transform;
    for (std::size_t channel = 0; channel < 3; ++channel) {
        transform.matrix[channel][channel] = 255 * normalization.deviation[channel];
        transform.offset[channel] = 255 * normalization.mean[channel];
    }
    return transform;
}

std::vector<std::string_view> cells(std::string_view line) {
    std::vector<std::string_view> cells;
    for (std::size_t end = 0; end != std::string_view::npos; line.remove_prefix(std::min(end + 1, line.size()))) {
        end = line.find(',');
        cells.push_back(line.substr(0, end));
    }
    return cells;
}

/// The columns of metrics.csv by name; null where a cell is empty or is not a finite number.
Json metric_columns(const std::filesystem::path& path) {
    std::ifstream stream{path};
    std::string line;
    std::getline(stream, line);
    const std::string header = line;
    Json columns = Json::object();
    for (const std::string_view name : cells(header)) columns[std::string{name}] = Json::array();
    while (std::getline(stream, line)) {
        const std::vector<std::string_view> values = cells(line);
        std::size_t index = 0;
        for (const std::string_view name : cells(header)) {
            const std::string_view cell = index < values.size() ? values[index] : std::string_view{};
            const std::optional<double> value = parse_number<double>(cell);
            columns[std::string{name}].push_back(value && std::isfinite(*value) ? Json(*value) : Json());
            ++index;
        }
    }
    return columns;
}

/// JSON that cannot end the script element it stands in.
std::string script_text(const Json& data) {
    const std::string text = data.dump(-1, ' ', false, Json::error_handler_t::replace);
    std::string safe;
    safe.reserve(text.size());
    for (const char letter : text) letter == '<' ? safe.append("\\u003c") : safe.append(1, letter);
    return safe;
}

/// Throws Error where the file cannot be written.
void write_page(const std::filesystem::path& path, std::string_view data) {
    AtomicFile file{path};
    std::string_view rest = report_page::page;
    for (const auto& [place, content] : {std::pair<std::string_view, std::string_view>{"{{style}}", report_page::style},
                                         {"{{data}}", data},
                                         {"{{script}}", report_page::script}}) {
        const std::size_t begin = rest.find(place);
        file.write(rest.substr(0, begin));
        file.write(content);
        rest.remove_prefix(begin + place.size());
    }
    file.write(rest);
    file.commit();
}

std::string local_time() {
    const std::time_t now = std::time(nullptr);
    char text[32] = "";
    if (const std::tm* const parts = std::localtime(&now)) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", parts);
    return text;
}

}  // namespace

ValidationAnswers compare_answers(Index classes, std::span<const int> labels, std::span<const float> logits,
                                  const TeacherRows& teacher) {
    constexpr std::size_t bins = 15;
    const auto width = static_cast<std::size_t>(classes);
    ValidationAnswers result;
    result.confusion = ConfusionMatrix{classes};
    result.reliability.resize(bins);
    std::vector<ComparedAnswer> mistakes, disagreements;
    Index labeled = 0;
    for (std::size_t picture = 0; picture < labels.size(); ++picture) {
        const std::span<const float> row = logits.subspan(picture * width, width);
        if (!std::all_of(row.begin(), row.end(), [](float logit) { return std::isfinite(logit); })) continue;
        const Answer student{row};
        ComparedAnswer answer{.picture = static_cast<Index>(picture),
                              .label = labels[picture],
                              .answer = student.chosen,
                              .confidence = student.confidence()};
        if (answer.label >= 0) answer.label_confidence = student.probability(answer.label);
        ++result.pictures;
        if (teacher.logits != nullptr) {
            const Answer taught{
                teacher.logits->row_logits((teacher.first_row + answer.picture) * teacher.logits->view_count)};
            answer.teacher_answer = taught.chosen;
            answer.teacher_confidence = taught.confidence();
            answer.divergence =
                kl_divergence(classes, taught.log_probabilities.data(), student.log_probabilities.data());
            if (answer.teacher_answer != answer.answer) disagreements.push_back(answer);
        }
        if (answer.label < 0) continue;
        const bool right = answer.answer == answer.label;
        ++labeled;
        result.confusion.add(answer.label, answer.answer);
        if (!right) mistakes.push_back(answer);
        const auto bin = std::min(static_cast<std::size_t>(answer.confidence * static_cast<double>(bins)), bins - 1);
        ++result.reliability[bin].count;
        result.reliability[bin].right += right ? 1 : 0;
        result.reliability[bin].confidence += answer.confidence;
    }
    for (ReliabilityBin& bin : result.reliability) {
        if (bin.count == 0) continue;
        result.calibration_error +=
            std::abs(static_cast<double>(bin.right) - bin.confidence) / static_cast<double>(labeled);
        bin.confidence /= static_cast<double>(bin.count);
    }
    result.mistakes = first_of(std::move(mistakes), [](const ComparedAnswer& a, const ComparedAnswer& b) {
        return std::pair{a.label_confidence, a.picture} < std::pair{b.label_confidence, b.picture};
    });
    result.disagreements = first_of(std::move(disagreements), [](const ComparedAnswer& a, const ComparedAnswer& b) {
        return std::pair{-a.divergence, a.picture} < std::pair{-b.divergence, b.picture};
    });
    return result;
}

ReportSettings machine_settings() {
    ReportSettings machine{"Machine", {}};
    std::ifstream processors{"/proc/cpuinfo"};
    for (std::string line; std::getline(processors, line);)
        if (line.starts_with("model name")) {
            machine.rows.emplace_back("processor", line.substr(std::min(line.find(':') + 2, line.size())));
            break;
        }
#if defined(__unix__) || defined(__APPLE__)
    if (utsname system{}; uname(&system) == 0)
        machine.rows.emplace_back("system", fmt::format("{} {}, {}", system.sysname, system.release, system.machine));
#endif
    return machine;
}

Report::Report(std::filesystem::path folder, ReportFacts facts, const LabeledPictures& validation,
               const TeacherRows& teacher)
    : folder_{std::move(folder)}, facts_{std::move(facts)}, validation_{&validation}, teacher_{teacher} {}

bool Report::affordable() const {
    constexpr double share = 0.02;
    return cost_ + last_cost_ <= std::chrono::duration<double>(Clock::now() - started_) * share;
}

void Report::add_views(const TrainingLoader& training, const LabeledPictures& labeled,
                       const UnlabeledPictures& unlabeled) {
    constexpr Index rows = 8, epochs = 5;
    const auto labeled_count = static_cast<Index>(labeled.store.size());
    const auto unlabeled_count = static_cast<Index>(unlabeled.store.size());
    const Index unlabeled_rows = std::min<Index>(unlabeled_count, rows / 4);
    const Index labeled_rows = std::min(labeled_count, rows - unlabeled_rows);
    // Evenly spaced, so that the classes differ.
    std::vector<Index> samples;
    for (Index row = 0; row < labeled_rows; ++row) samples.push_back(row * labeled_count / labeled_rows);
    for (Index row = 0; row < unlabeled_rows; ++row)
        samples.push_back(labeled_count + row * unlabeled_count / unlabeled_rows);

    const ColorTransform to_bytes = displayed({});
    for (const Index sample : samples) {
        const PictureStore& store = sample < labeled_count ? labeled.store : unlabeled.store;
        const Index place = sample < labeled_count ? sample : sample - labeled_count;
        const int label = sample < labeled_count ? labeled.labels[static_cast<std::size_t>(place)] : -1;
        ViewRow row{store.paths()[static_cast<std::size_t>(place)], label, {}};
        row.views.push_back({.picture = plan_uri(training, {.sample = sample, .view = whole_view(), .colors = {}})});
        for (Index epoch = 0; epoch < epochs; ++epoch) {
            SamplePlan plan = training.plan(epoch, sample);
            for (ColorTransform* colors : {&plan.colors, &plan.second.colors}) *colors = compose(*colors, to_bytes);
            ShownView view{.picture = plan_uri(training, plan)};
            if (plan.teacher_view >= 0) {
                const Answer taught{teacher_.logits->row_logits(plan.teacher_view)};
                view.teacher_answer = taught.chosen;
                view.teacher_confidence = taught.confidence();
            }
            row.views.push_back(std::move(view));
        }
        views_.push_back(std::move(row));
    }
}

void Report::show_answers(Index epoch, std::span<const float> logits) {
    answers_ = compare_answers(static_cast<Index>(facts_.classes.size()), validation_->labels, logits, teacher_);
    answered_epoch_ = epoch;
    for (const auto* list : {&answers_->mistakes, &answers_->disagreements})
        for (const ComparedAnswer& answer : *list) validation_picture(answer.picture);
}

const std::string& Report::validation_picture(Index picture) {
    std::string& encoded = encoded_[picture];
    const PictureStore& store = validation_->store;
    if (encoded.empty())
        encoded = data_uri(store.pixels(static_cast<std::size_t>(picture)), store.stored_size(), store.stored_size());
    return encoded;
}

void Report::write(Index kept_epoch, bool finished) {
    const auto start = Clock::now();
    try {
        write_page(folder_ / "report.html", script_text(content(kept_epoch, finished)));
    } catch (const Error& problem) {
        if (!warned_)
            print_message(fmt::format("warning: {}; training continues without the report\n", problem.what()));
        warned_ = true;
    }
    cost_ += Clock::now() - start;
}

nlohmann::json Report::content(Index kept_epoch, bool finished) {
    const auto answer_or_null = [](int answer) { return answer < 0 ? Json() : Json(answer); };
    Json data{{"format", "bantam-report/1"},
              {"name", facts_.name},
              {"network", facts_.network},
              {"command", facts_.command},
              {"written", local_time()},
              {"finished", finished},
              {"epochs", facts_.epochs},
              {"keep", facts_.keep},
              {"kept_epoch", kept_epoch},
              {"classes", facts_.classes},
              {"has_teacher", teacher_.logits != nullptr},
              {"parameters", facts_.parameters},
              {"parameter_limit", facts_.parameter_limit},
              {"metrics", metric_columns(folder_ / "metrics.csv")},
              {"validation", Json()},
              {"views", Json::array()},
              {"layers", Json::array()},
              {"settings", Json::array()}};
    if (answers_) {
        Json confusion = Json::array();
        for (Index label = 0; label < answers_->confusion.classes(); ++label) {
            Json row = Json::array();
            for (Index answer = 0; answer < answers_->confusion.classes(); ++answer)
                row.push_back(answers_->confusion.count(label, answer));
            confusion.push_back(std::move(row));
        }
        Json reliability = Json::array();
        for (const ReliabilityBin& bin : answers_->reliability) {
            const bool used = bin.count > 0;
            const double accuracy = used ? static_cast<double>(bin.right) / static_cast<double>(bin.count) : 0.0;
            reliability.push_back({{"count", bin.count},
                                   {"confidence", used ? Json(bin.confidence) : Json()},
                                   {"accuracy", used ? Json(accuracy) : Json()}});
        }
        const auto pictures = [&](const std::vector<ComparedAnswer>& answers) {
            Json list = Json::array();
            for (const ComparedAnswer& answer : answers)
                list.push_back(
                    {{"picture", validation_picture(answer.picture)},
                     {"path", validation_->store.paths()[static_cast<std::size_t>(answer.picture)]},
                     {"label", answer_or_null(answer.label)},
                     {"answer", answer.answer},
                     {"confidence", answer.confidence},
                     {"label_confidence", answer.label < 0 ? Json() : Json(answer.label_confidence)},
                     {"teacher_answer", answer_or_null(answer.teacher_answer)},
                     {"teacher_confidence", answer.teacher_answer < 0 ? Json() : Json(answer.teacher_confidence)}});
            return list;
        };
        data["validation"] = {{"epoch", answered_epoch_},
                              {"pictures", answers_->pictures},
                              {"confusion", std::move(confusion)},
                              {"reliability", std::move(reliability)},
                              {"calibration_error", answers_->calibration_error},
                              {"mistakes", pictures(answers_->mistakes)},
                              {"disagreements", pictures(answers_->disagreements)}};
    }
    for (const ViewRow& row : views_) {
        Json views = Json::array();
        for (const ShownView& view : row.views)
            views.push_back({{"picture", view.picture},
                             {"teacher_answer", answer_or_null(view.teacher_answer)},
                             {"teacher_confidence", view.teacher_answer < 0 ? Json() : Json(view.teacher_confidence)}});
        data["views"].push_back(
            {{"path", row.path}, {"label", answer_or_null(row.label)}, {"pictures", std::move(views)}});
    }
    for (const LayerEntry& layer : facts_.layers)
        data["layers"].push_back(
            {{"name", fmt::format("{}-{}", layer.name, data["layers"].size() + 1)},
             {"output", fmt::format("{} × {} × {}", layer.output.height, layer.output.width, layer.output.channels)},
             {"parameters", layer.trainable + layer.non_trainable},
             {"multiply_adds", layer.multiply_adds}});
    for (const ReportSettings& group : facts_.settings)
        data["settings"].push_back({{"title", group.title}, {"rows", group.rows}});

    return data;
}

}  // namespace bantam
