//! Topic Names, Topic Filters, and the trees that find one by the other.
