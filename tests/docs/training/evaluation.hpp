// SPDX-License-Identifier: MIT
void print(const bantam::Evaluation& result) {
    std::printf("accuracy %.3f, cross-entropy %.3f\n", result.accuracy.value(), result.cross_entropy.value());
    const bantam::ConfusionMatrix& confusion = result.confusion;
    for (bantam::Index c = 0; c < confusion.classes(); ++c)
        std::printf("class %d: %d pictures, precision %.3f, recall %.3f, taken for class 0: %d\n", static_cast<int>(c),
                    static_cast<int>(confusion.labeled(c)), confusion.precision(c).value_or(0),
                    confusion.recall(c).value_or(0), static_cast<int>(confusion.count(c, 0)));
}
