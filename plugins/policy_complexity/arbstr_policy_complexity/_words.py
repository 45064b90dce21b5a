"""The words that tell easy prompts from hard ones, in the languages that agents mostly write in."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")

PROOF = frozenset(
    """prove proves proof proofs disprove rigorous rigorously theorem lemma corollary counterexample counterexamples
    derive derives derivation undecidable np-complete np-hard beweise beweisen beweis widerlege herleiten leite
    demuestra demostrar demostración démontre démontrer prouve докажи доказать доказательство provably proven
    bijection induction contradiction converse completeness soundness impossibility herleite zeige beweist
    démonstration teorema доказательства теорема""".split()  # noqa: SIM905
)
"""Whoever says one of them wants an argument that holds."""

HARD = frozenset(
    """axiom invariant invariants decidable reduction asymptotic correctness refactor refactoring rearchitect
    architecture architectures deadlock deadlocks race races concurrency concurrent lock-free mutex mutexes
    interleaving interleavings distributed consensus replication failover zero-downtime migrate migration
    migrating rollback trade-off trade-offs tradeoff tradeoffs threat adversary attack attacks vulnerability
    vulnerabilities exploit exploits holes security flaky leak leaks root-cause causal causality hypothesis
    hypotheses identification confounders bias stress-test hedging differential diagnosis optimise optimize
    optimal optimality optimisation optimization scalability scale bottleneck profile compiler parser
    unification type-checker critically objections counter-arguments rigor reconcile reconstruct untangle
    reverse-engineer begründe begründung analysiere architektur optimiere nebenläufig analiza justifica optimiza
    justifie обоснуй проанализируй оптимизируй redesign rearchitecture fault-tolerant fault-tolerance partition
    partitions linearizable linearizability consistency serializable isolation idempotent idempotency
    exactly-once ordering quorum sharding shards rebalance replicated crdt crdts garbage collector allocator
    scheduler kernel bytecode interpreter optimizer vectorize vectorise parallelize parallelise deterministic
    determinism bit-for-bit reproducible backpressure lock-step cryptographic cryptography encryption
    zero-knowledge protocol protocols side-channel injection sandbox privilege escalation forensic postmortem
    post-mortem incident outage flakiness memory-safe unsafe nearest-neighbour nearest-neighbor inverted-index
    dynamic-programming amortized amortised heuristic heuristics approximation intractable bayesian posterior
    likelihood regression econometric causation counterfactual stochastic martingale topology manifold
    homomorphic eigenvalues fourier gradient convexity convex lagrangian differential-equation thermodynamic
    quantum relativity pharmacokinetics prognosis contraindications etiology pathophysiology antitrust liability
    fiduciary jurisdiction precedent compliance gdpr patent kartellrecht haftung urheberrecht datenschutz
    nebenwirkungen ontology epistemology metaphysics dialectic hermeneutic macroeconomic macroeconomics monetary
    valuation derivative derivatives arbitrage portfolio underdetermined falsify meta-analysis abwägung
    widerspruch nebenläufigkeit verteilte concurrencia distribuido distribuida concurrence distribué
    параллельный распределённый""".split()  # noqa: SIM905
)
"""Each of them may make a prompt hard."""

THOROUGH = frozenset(
    """analyse analyze analyzes analyses analysis evaluate evaluates evaluation assess weigh justify defend challenge
    design designs compare compares comparison contrast generalise generalize formulate formalise estimate debug
    diagnose investigate review reason reasoning strategy strategies framework risks risk phased implications
    assumptions assumption uncertainty scenario scenarios evidence rebut constraints robust robustly algorithm
    algorithms complexity performance semantics failure-modes integers primes modulo reals bounded continuous
    differentiable convergent converges diverges integral matrix eigenvalue probability expected sequence
    vergleiche bewerte entwirf risiken annahmen algorithmus compara evalúa diseña estrategia évalue conçois
    stratégie сравни оцени обсуди алгоритм rigour argue argues argument arguments counterargument alternatives
    alternative critique critical weighing propose proposal devise invent architect model models modelling
    modeling simulate simulation verify verification validate validation guarantee guarantees bound bounds
    lower-bound upper-bound worst-case tail latency throughput incremental scalable production-ready
    migration-plan rollout roadmap trade-offs constraint optimum metric compact separable topological random
    variable variables distribution distributions exponential exponentials independent variance theorem-prover
    existence uniqueness generalisation attacked attacker defences defenses mitigations mitigation
    exploitability autonomous repository multi-step end-to-end integrate integration refute premise premises
    thesis implication long-term second-order stakeholders scepticism methodology untersuche analysieren
    bewerten entwickle gegenargumente alternativen konsequenzen strategie auswirkungen evalúe alternativas
    argumenta riesgos conséquences риски последствия стратегия аргументы""".split()  # noqa: SIM905
)
"""One of them makes nothing hard; several do."""

WORK = frozenset(
    """write writes writing draft explain explains describe implement implements create build generate prepare plan
    summarise summarize summary translate proofread convert calculate compute solve function class method script
    query sql regex regular expression endpoint component test tests docstring docstrings dockerfile makefile
    yaml css html python javascript typescript java golang rust kotlin bash essay story speech letter email
    e-mail newsletter article report minutes lesson itinerary recipe budget table csv schedule outline guide
    tutorial ideas pros cons difference differences advantages disadvantages steps example examples improve
    improvements suggest fix bug error errors simplify how why schreibe schreib erkläre erklär zusammenfassung
    erstelle übersetze plane unterschied unterschiede escribe explica resume crea traduce diferencia rédige
    explique résume crée traduis différence напиши объясни составь переведи list lists compose craft
    design-brief rewrite-in paraphrase document comment annotate organise organize configure setup install
    deploy terraform powershell ruby php swift wordpress django react vue node excel formula spreadsheet
    presentation slides pitch caption captions post blog review reply invitation announcement welcome
    instructions instruction tips reasons reason measures checklist quiz games exercises workout menu dinner
    dinners message texte lettre annonce carta mensaje lista liste tipps vorschläge anleitung einladung
    nachricht ответ список идеи""".split()  # noqa: SIM905
)
"""What is asked for is work, though perhaps little of it."""

SMALL = frozenset(
    """hi hello hey hallo hola bonjour salut ciao привет thanks thank danke gracias merci bye ok okay yes no yep nope
    spell spelling synonym antonym opposite abbreviation stands capital joke pong ping translate translation
    classify sentiment positive negative spam extract rewrite rephrase shorter polite politely grammar upper
    lower case comma emoji celsius fahrenheit convert sort alphabetically count replace evening rhyme typo tense
    plural singular currency painted random pick number label friendly correct invoice date rename heads tails
    weather wetter tiempo météo""".split()  # noqa: SIM905
)
"""A small model does these well, where there is little of them."""

HARD_PHRASES = (
    *("step by step", "root cause", "from first principles", "across the codebase", "across the whole", "in depth"),
    *(
        "think carefully",
        "work out",
        "argue for",
        "go through every",
        "every possible",
        "what could go wrong",
        "from scratch",
    ),
    *("both sides", "failure mode", "threat model", "time complexity", "worst case", "edge cases", "think through"),
    *("schritt für schritt", "paso a paso", "étape par étape", "пошагово", "逐步", "分析", "为什么"),
    *("設計", "设计", "比較", "比较", "优化", "最適化", "手順"),
)
PROOF_PHRASES = ("show that", "find all functions", "证明", "證明", "反例", "証明")
WORK_PHRASES = (
    *("explain", "how do i", "how does", "how would", "what is the difference", "give me", "why does", "please write"),
    *("写一", "请写", "解释", "説明", "要約", "总结", "書いて", "教えて", "翻译成"),
)
SMALL_PHRASES = (
    *("one word", "one line", "one sentence", "single word", "in five words", "yes or no", "what does the word"),
    *("what's your name", "good morning", "guten morgen", "buenos días", "how are you", "wie geht", "qué tal"),
    *("你好", "您好", "こんにちは", "谢谢", "ありがとう", "which language", "stand for", "what day", "what year"),
)


def words_of(text: str) -> list[str]:
    """The words of a text that is in lower case."""
    return _WORD.findall(text)
