// Ranks the sentences of documents that share terms with a question.
//
// Terms are numbers, and everything is counted in whole numbers. The caller owns all memory that it
// passes; the function keeps none, and may run in several threads at once.
#ifndef KEYMISS_SENTENCE_RANKING_H
#define KEYMISS_SENTENCE_RANKING_H

#include "found_sentence.h"

enum { MOST_TERMS = 64 };

// What a document holds; search/document_terms.py says what each array means. A document without a
// vocabulary has -1 vocabulary_terms: its terms are counted in its tokens.
typedef struct {
    const uint32_t *title, *tokens, *vocabulary;
    const int32_t *bounds, *counts;
    int32_t title_terms, vocabulary_terms, sentences, unused;
} DocumentTerms;

// BM25 of one kind of text: a term that occurs f times in a text of this length gives
// weight * f / (f + flat + slope * length).
typedef struct {
    const double *weights;
    double flat, slope;
} TermScores;

// A question, and how sentences are ranked for it.
typedef struct {
    const uint32_t *asked;
    int32_t terms;               // at most MOST_TERMS
    int32_t own, near, in_title; // what a term counts in a sentence, beside it, and in the title
    int32_t most_scored, limit;
    TermScores sentences, documents;
} RankedQuestion;

// Where the result goes. `rows` has room for as many as are scored: those of most_scored whole
// documents and five for each found sentence.
typedef struct {
    int32_t *of_documents; // how often each document has each term, [documents][terms]
    FoundSentence *rows;
    int32_t *lengths;     // [rows]
    int32_t *frequencies; // [rows][terms]
    double *scores;       // [rows]
} RankedSentences;

// Ranks all sentences of the documents, the best documents first, until most_scored are ranked; of
// those that follow, the found sentences and their neighbours. Gives the best `limit` that have a
// term, in any order, and all that are as good as the last of these. Returns how many there are,
// and -1 when there is no memory.
int32_t keymiss_rank_sentences(const DocumentTerms *const *documents, int32_t count,
                               const FoundSentence *found, int32_t found_count,
                               const RankedQuestion *question, const RankedSentences *result);

// Counts the question's terms in these sentences, whatever their scores. Fills in of_documents,
// lengths and frequencies, in the order of `wanted`; the other arrays may be NULL.
void keymiss_count_sentences(const DocumentTerms *const *documents, int32_t count,
                             const FoundSentence *wanted, int32_t wanted_count,
                             const RankedQuestion *question, const RankedSentences *result);

#endif
